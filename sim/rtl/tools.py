"""The compiler and the other programs that a machine must have for simulations."""

import os
import shlex
import shutil
from functools import cache
from pathlib import Path

from golden import process
from golden.errors import ToolError

INSTALL = {
    "c++": "sudo apt install g++, or brew install gcc",
    "make": "sudo apt install make, or brew install make",
    "perl": "sudo apt install perl, or brew install perl",
}

# Needs the headers, the library and a linker that knows it: a C compiler lacks the last.
_PROBE = """#include <iostream>
#include <string>
int main(int count, char **words) { std::string word(words[0]); std::cout << word << std::endl; return !count; }
"""


def compiler() -> tuple[tuple[str, ...], str]:
    """Returns the words that call the C++ compiler (`$CXX`, as make would split it, else `c++`), and its version.

    Raises:
        ToolError: It is missing, or says no version.
    """
    given = os.environ.get("CXX", "").strip()
    try:
        words = shlex.split(given) or ["c++"]
    except ValueError as error:
        raise ToolError(f"CXX={given!r} cannot be split into words: {error}.") from error
    if given and not shutil.which(words[0]):
        raise ToolError(
            f"{words[0]} is missing, which CXX={given!r} names: install it, or set CXX to another compiler."
        )
    command = (need(words[0]), *words[1:])
    return command, version_line(command)


@cache
def version_line(command: tuple[str, ...]) -> str:
    """The first line of what a compiler says of its version.

    Raises:
        ToolError: It has none to say.
    """
    done = process.run([*command, "--version"], limit=20)
    if done.code or not done.output.strip():
        raise _no_compiler(command, done)
    return done.output.partition("\n")[0]


@cache
def check_compiler(command: tuple[str, ...]) -> None:
    """Raises ToolError if a command does not compile and link a few lines of C++."""
    with process.scratch() as folder:
        done = process.run([*command, "-std=c++17", "-x", "c++", "-", "-o", "probe"], input=_PROBE, folder=folder)
        if done.code or not os.access(folder / "probe", os.X_OK):
            raise _no_compiler(command, done)


def _no_compiler(command: tuple[str, ...], done: process.Finished) -> ToolError:
    said = next((line for line in done.said.splitlines() if "error" in line or "undefined" in line), "")
    why = said.strip() or done.how
    return ToolError(f"{shlex.join(command)} is no C++ compiler that works ({why}); set CXX to one, or leave it out.")


def need(tool: str) -> str:
    """Returns the absolute path of a system tool."""
    path = shutil.which(tool)
    if path is None:
        raise ToolError(f"{tool} is missing; install it with: {INSTALL.get(tool, INSTALL['c++'])}.")
    return str(Path(path).absolute())
