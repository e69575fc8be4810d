"""Programs from outside that simulations need: the compiler, make, and the folder where what they built is kept."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from golden.errors import ToolError

INSTALL = {
    "c++": "sudo apt install g++, or brew install gcc",
    "make": "sudo apt install make, or brew install make",
    "perl": "sudo apt install perl, or brew install perl",
}


def cache_folder() -> Path:
    """Returns the folder of built libraries: `$GOSSET_CACHE`, else `~/.cache/gosset`; made where missing.

    Raises:
        ToolError: The folder cannot be made, or has a space in its path, which make cannot handle.
    """
    folder = Path(os.environ.get("GOSSET_CACHE") or Path.home() / ".cache" / "gosset").absolute()
    if " " in str(folder):
        raise ToolError(f"make cannot work under a path with a space in it ({folder}): set GOSSET_CACHE to another.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{folder} cannot be made ({error.strerror}): set GOSSET_CACHE to another folder.") from error
    return folder


def compiler() -> tuple[str, str]:
    """Returns the path of the C++ compiler (`$CXX`, else `c++`) and the first line of what its `--version` prints.

    Raises:
        ToolError: It is missing.
    """
    path = need(os.environ.get("CXX") or "c++")
    return path, version_line(path)


@cache
def version_line(program: str) -> str:
    """The first line of what a program says of its version."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0]


def need(tool: str) -> str:
    """Returns the path of a system tool."""
    path = shutil.which(tool)
    if path is None:
        raise ToolError(f"{tool} is missing; install it with: {INSTALL.get(tool, INSTALL['c++'])}.")
    return path


def run_tool(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path | None = None, tail: int | None = 30
) -> str:
    """Runs a command and returns its output.

    Raises:
        ToolError: It failed; with the last `tail` lines of what it said, or all.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    lines = done.stdout.rstrip().splitlines()
    shown = lines if tail is None else lines[-tail:]
    raise ToolError("\n".join([f"{Path(command[0]).name} failed (exit code {done.returncode}):", *shown]))
