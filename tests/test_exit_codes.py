"""Every command with every kind of bad input: exit code 2, one sentence, nothing written."""

import inspect
import os
import typing
from pathlib import Path

import numpy as np
import pytest
import typer

from golden.exits import ending
from golden.format import Format
from golden.quantize import quantize
from gosset import app


def commands(group, name=()):
    """All commands, each with the words that call it."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*name, word))
        else:
            yield (*name, word), command


COMMANDS = dict(commands(typer.main.get_command(app)))

REQUIRED = {"m": "4", "n": "4", "k": "16", "port": "/dev/null", "packed": "packed", "w": "packed", "matrix": "matrix"}
REQUIRED |= {"source": "matrix", "target": "made", "model": "matrix", "inputs": "matrix"}
REQUIRED |= {"study": "llm-decode", "id": "0"}
"""What a parameter gets where another one is bad."""

FILES = {"matrix", "packed", "x", "w", "source", "calibrate", "hessian", "model", "inputs"}
"""Parameters that name a file to read."""


def texts(folder):
    """Files that are not what any command reads, by kind."""
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_bytes("größe\n".encode("latin-1") * 50)
    (folder / "zip").write_bytes(b"PK\x03\x04" + bytes(100))
    (folder / "npy").write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 40"
    )
    (folder / "nested").write_bytes(b"[" * 5000)
    (folder / "binary").write_bytes(bytes(range(256)) * 9)
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "folder").mkdir()


KINDS = ["missing", "", "folder", "empty", "text", "zip", "npy", "nested", "binary", "loop", "dangling", "x" * 300]
NUMBERS = ["-1", "x", "", "1.5", str(10**30)]
NAMES = ["nothing", "", "../x", "größe", "x" * 300]
OUTPUTS = ["file/inside", "/proc/nothing/x", "/dev/null/x", "x" * 300 + "/y"]


def bad(command, parameter):
    """Bad values of a parameter."""
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    kind = str(hints.get(parameter.name))
    if parameter.name in ("output", "target", "history"):
        return OUTPUTS
    if parameter.name in FILES:
        return KINDS
    if parameter.name == "design":
        return [*NAMES, *(f"{kind}.toml" for kind in ("missing", "folder", "empty", "text", "binary"))]
    if "int" in kind:
        return NUMBERS
    return [] if "bool" in kind or kind == "None" else NAMES


def cases():
    for words, command in COMMANDS.items():
        yield pytest.param((words, None, "--no-such-option"), id=" ".join(words) + " option")
        for parameter in command.params:
            for value in bad(command, parameter):
                yield pytest.param(
                    (words, parameter.name, value), id=f"{' '.join(words)} {parameter.name} {value[:12]!a}"
                )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with good files and bad ones."""
    folder = tmp_path_factory.mktemp("place")
    texts(folder)
    for kind in ("empty", "text", "binary"):
        (folder / f"{kind}.toml").write_bytes((folder / kind).read_bytes() or b"rows = ")
    (folder / "folder.toml").mkdir()
    (folder / "file").write_bytes(b"")
    x = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    np.save(folder / "matrix.npy", x)
    (folder / "matrix.npy").rename(folder / "matrix")
    quantize(x, Format(16)).save(folder / "packed")
    return folder


@pytest.mark.parametrize("case", list(cases()))
def test_bad_input_is_one_sentence_and_exit_code_2(case, place, monkeypatch, capfd):
    words, name, value = case
    arguments = list(words)
    for parameter in COMMANDS[words].params:
        needed = parameter.required or (parameter.name == "target" and name != "output")  # one of the two is given
        given = REQUIRED.get(parameter.name) if needed else None
        given = value if parameter.name == name else given
        if given is not None:
            options = [option for option in parameter.opts if option.startswith("-")]
            arguments += [options[0], given] if options else [given]
    if name is None:
        arguments.append(value)
    monkeypatch.chdir(place)
    before = set(os.listdir(place))
    monkeypatch.setattr("sys.argv", ["gosset", *arguments])
    monkeypatch.setenv("PATH", "/nowhere")  # nothing long can begin
    monkeypatch.setenv("GOSSET_TOOLS", "none")
    with pytest.raises(SystemExit) as end:
        ending("gosset", app)
    said = capfd.readouterr().err.strip()
    assert end.value.code == 2, said
    assert said and "Traceback" not in said and "fault of the program" not in said
    assert "─" in said or len(said.splitlines()) == 1, said
    assert set(os.listdir(place)) == before, "nothing is left behind"
    assert Path("file").read_bytes() == b""
