"""The protocol in Python, and its description."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from fpga.host.reference import FUZZED
from fpga.link import BUFFER_BYTES, MAX_BODY, MAX_PAYLOAD, PROTOCOL, Deframer, Frame, Kind, Status, delimited
from tests.fpga.lines import Straight

PAGE = (Path(__file__).parents[2] / "docs" / "link.md").read_text()


def table(kinds):
    """The members of an enumeration as lines of a table, from its docstring."""
    text = inspect.cleandoc(kinds.__doc__)
    about = dict(re.findall(r"^([A-Z]+): (.*?)(?=^[A-Z]+: |\Z)", text, re.DOTALL | re.MULTILINE))
    assert set(about) == set(kinds.__members__)
    return [f"| {kind.value} | {kind.name} | {' '.join(about[kind.name].split())} |" for kind in kinds]


@pytest.mark.parametrize("kinds", [Kind, Status])
def test_the_description_has_every_command_and_status(kinds):
    assert "\n".join(table(kinds)) in PAGE


def test_the_description_has_todays_numbers():
    assert f"| 0 to {MAX_PAYLOAD} | payload |" in PAGE
    assert f"keeps {BUFFER_BYTES} bytes" in PAGE
    assert f"`protocol` ({PROTOCOL})" in PAGE
    assert f"`{Frame(Kind.IDENTIFY, 7).encode().hex()}`" in PAGE
    assert set(FUZZED.as_dict()) <= set(re.findall(r"`(\w+)`", PAGE.split("The identity has")[1].split("##")[0]))


def test_the_example_is_a_host(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {"port": Bytewise()})
    assert capsys.readouterr().out == "b'\\x00\\x01\\x02\\x03'\n"


def test_the_example_knows_what_it_cannot_know():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    port = Bytewise()
    names = {"port": port}
    exec(example, names)
    port.line.reference.expected = 8
    assert names["say"](3, 7, bytes(8)) is None
    with pytest.raises(RuntimeError, match="command 4"):
        names["say"](4, 1, bytes(8))


class Bytewise:
    """A board as the example's port."""

    def __init__(self):
        self.line, self.left = Straight(), b""

    def write(self, data):
        self.line.write(data)

    def read(self, count):
        self.left = self.left or self.line.read(1)
        byte, self.left = self.left[:count], self.left[count:]
        return byte


def test_frames_survive_any_cutting_and_any_garbage():
    rng = np.random.default_rng(0)
    frames = [Frame(i, 255 - i, rng.bytes(int(rng.integers(MAX_PAYLOAD + 1)))) for i in range(200)]
    line = b"".join(rng.bytes(int(rng.integers(20))) + frame.encode() for frame in frames)
    deframer, found = Deframer(), []
    while line:
        size = int(rng.integers(1, 700))
        found += deframer.feed(line[:size])
        line = line[size:]
    assert found == frames
    assert 100 < deframer.damaged < 400


@pytest.mark.parametrize("step", [1, 100, 5000])
def test_a_frame_that_does_not_end_is_none(step):
    whole = Frame(1, 2, b"\xc0" * MAX_PAYLOAD).encode()
    deframer = Deframer()
    line = whole[:-1] + bytes(10 * MAX_BODY) + whole
    found = [frame for at in range(0, len(line), step) for frame in deframer.feed(line[at : at + step])]
    assert found == [Frame(1, 2, b"\xc0" * MAX_PAYLOAD)]
    assert deframer.damaged == 1


def test_what_is_too_long_is_no_frame():
    deframer = Deframer()
    assert list(deframer.feed(Frame(1, 1, bytes(MAX_PAYLOAD)).encode())) and not deframer.damaged
    assert not list(deframer.feed(Frame(1, 1, bytes(MAX_PAYLOAD + 1)).encode())) and deframer.damaged == 1
    assert not list(deframer.feed(delimited(b""))) and deframer.damaged == 1
