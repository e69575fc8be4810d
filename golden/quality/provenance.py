"""Where a report comes from: the project's commit and the versions of what made it."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from golden.errors import ToolError
from golden.process import run


def provenance(*packages: str) -> dict[str, Any]:
    """`commit` (None outside a checkout; "-dirty" if files differ from it), `python`, `machine`, and `tools`: the
    versions of gosset, NumPy and other packages."""
    tools = {name: version(name) for name in ("gosset", "numpy", *packages)}
    return {"commit": _commit(), "python": platform.python_version(), "machine": platform.machine(), "tools": tools}


def _commit() -> str | None:
    """The commit of the repository that this very file belongs to, not of one that it happens to lie in."""
    here = Path(__file__)
    try:
        if run(["git", "ls-files", "--error-unmatch", "--", here.name], folder=here.parent).code:
            return None
        done = run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], folder=here.parent)
    except ToolError:
        return None
    return None if done.code else done.output.strip() or None
