"""Text that is on every machine, and its windows."""

import ast
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np

from golden.errors import GossetError
from golden.quality.llama import WINDOW, Ids


@cache
def prose() -> str:
    """English prose that is on every machine: the language reference that Python's `help` shows."""
    from pydoc_data.topics import topics  # type: ignore[import-untyped,unused-ignore]

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


def documentation() -> str:
    """The documentation strings of Python's standard library, in the order of its files."""
    root, parts = Path(sysconfig.get_paths()["stdlib"]), []
    for file in sorted(root.rglob("*.py")):
        if {"test", "tests", "idle_test", "site-packages", "lib2to3", "pydoc_data"} & {*file.relative_to(root).parts}:
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                parts.append(ast.get_docstring(node) or "")
    return "\n\n".join(part for part in parts if part)


def in_windows(ids: Ids) -> Ids:
    """A text's tokens in windows: int64 `(windows, WINDOW)`."""
    return ids[: len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)


def spread(every: Ids, tokens: int) -> Ids:
    """So many tokens, in windows spread over all of a text: int64 `(windows, WINDOW)`.

    Raises
    ------
    GossetError
        If there are fewer, or not one window is asked for.
    """
    count = tokens // WINDOW
    if not 1 <= count <= len(every):
        raise GossetError(f"Of text there are from {WINDOW} to {every.size:,} tokens, but {tokens:,} were asked for.")
    return every[np.linspace(0, len(every) - 1, count).astype(int)]
