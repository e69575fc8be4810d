"""Where a report comes from: the project's commit and the versions of what made it."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def provenance(*packages: str) -> dict[str, Any]:
    """`commit` (None outside a checkout; "-dirty" if files differ from it), `python`, `machine`, and `tools`: the
    versions of gosset, NumPy and other packages."""
    tools = {name: version(name) for name in ("gosset", "numpy", *packages)}
    return {"commit": _commit(), "python": platform.python_version(), "machine": platform.machine(), "tools": tools}


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
