"""Text files are UTF-8 by name: what the locale says is about terminals."""

import ast

import pytest

from tests.children import ROOT

ROOMS = ("golden", "hw", "sim", "fpga", "benchmarks")
FILES = [ROOT / "gosset.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]
TEXT = {"open", "read_text", "write_text", "NamedTemporaryFile", "TemporaryFile", "fdopen", "TextIOWrapper"}
NOT_FILES = {"webbrowser", "os", "BoardDevice", "cls"}


def forgetful(text):
    """Lines of calls that open text without saying in which encoding."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        owner = getattr(getattr(node.func, "value", None), "id", None)
        words = {keyword.arg: keyword.value for keyword in node.keywords}
        literals = [value.value for value in (*node.args, *words.values()) if isinstance(value, ast.Constant)]
        binary = any(isinstance(mode, str) and "b" in mode and len(mode) < 4 for mode in literals)
        text_pipe = any(name in words for name in ("text", "universal_newlines"))
        ours = name == "write_text" and isinstance(node.func, ast.Name)  # golden.files.write_text
        default_binary = name in ("NamedTemporaryFile", "TemporaryFile") and not literals
        if ((name in TEXT and not binary and not ours and not default_binary) or text_pipe) and (
            owner not in NOT_FILES and "encoding" not in words
        ):
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_utf8_by_name(path):
    assert not list(forgetful(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text", ["open('x')", "p.read_text()", "p.open()", "p.write_text('β')", "run([], text=True)", "open('x', 'w')"]
)
def test_the_check_sees_what_it_looks_for(text):
    assert list(forgetful(text)) == [1]
