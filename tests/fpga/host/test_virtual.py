"""Simulated boards: byte by byte, bit by bit, and as a serial port."""

import numpy as np
import pytest

from fpga.baud import LEAST_DIVISOR
from fpga.host.device import BoardDevice
from fpga.host.line import LinkError, SerialLine
from fpga.host.link import Link, Task
from fpga.host.reference import FUZZED
from fpga.host.virtual import VirtualBoard, VirtualPins
from fpga.link import Frame, Kind
from golden.errors import ToolError
from golden.matmul import matmul
from golden.quantize import quantize
from sim.tiles import Job
from tests.fpga.lines import serving


@pytest.fixture(scope="module")
def pins():
    board = VirtualPins(FUZZED, LEAST_DIVISOR)
    yield board
    board.close()


def job(m, n, k, seed=0):
    rng = np.random.default_rng(seed)
    return Job(FUZZED.design, *(quantize(rng.normal(size=(rows, k)), FUZZED.design.format) for rows in (m, n)))


def assert_right(device, job):
    np.testing.assert_array_equal(device.run(job).product.accumulators, matmul(job.x, job.w).accumulators)


@pytest.mark.parametrize("seed", range(3))
def test_a_product_bit_by_bit(pins, seed):
    device = BoardDevice(pins)
    assert device.identity == FUZZED
    assert_right(device, job(5, 9, 100, seed))
    assert device.link.repeated == 0


def test_a_board_comes_to_rest(pins):
    pins.write(Frame(Kind.IDENTIFY, 1).encode())
    assert not pins.at_rest
    while pins.read(0):
        pass
    assert pins.at_rest
    before = pins.model.cycles
    assert pins.read(0) == b""
    assert pins.model.cycles - before <= LEAST_DIVISOR


def test_most_of_the_line_is_payload(pins):
    """Writing: a window of frames hides the replies. Reading: replies follow each other."""
    link = Link(pins)
    link.word_bytes = FUZZED.memory.bytes
    link.reset()
    size = FUZZED.memory.words * FUZZED.memory.bytes
    stored = np.random.default_rng(0).bytes(size)

    def cycles(action):
        before = pins.model.cycles
        action()
        return pins.model.cycles - before

    rounds = 8
    nothing = Task(1, 1, 1, False, 0, 0, 0)
    write = cycles(lambda: link.run([(0, stored)] * rounds, nothing)) / (rounds * size)
    read = cycles(lambda: [link.read(0, FUZZED.memory.words) for _ in range(rounds)]) / (rounds * size)
    limit = 10 * LEAST_DIVISOR
    print(f"cycles per byte: written {write:.2f}, read {read:.2f}, of {limit}")
    assert limit / write > 0.9
    assert limit / read > 0.9
    assert link.repeated == 0


def test_a_byte_without_a_stop_bit_is_noticed(pins, monkeypatch):
    monkeypatch.setattr(pins, "_coming", [0] * 9)
    monkeypatch.setattr(pins.model.io.__class__, "__getattr__", lambda self, name: 0)
    with pytest.raises(ToolError, match="without a stop bit"):
        pins.step()


@pytest.mark.parametrize("bits", [False, True])
def test_a_serial_port(bits):
    board = VirtualPins(FUZZED, LEAST_DIVISOR) if bits else VirtualBoard(FUZZED)
    with serving(board) as port:
        for seed in range(2):  # hosts come and go, the board stays
            device = BoardDevice.open(port, [3_000_000], FUZZED.design)
            with pytest.raises(LinkError, match="cannot be opened"):
                SerialLine(port, 3_000_000)
            assert_right(device, job(5, 9, 100, seed))
            device.close()


def test_a_host_that_does_not_listen_loses_what_is_said():
    with serving(VirtualBoard(FUZZED)) as port:
        line = SerialLine(port, 3_000_000)
        ask = Frame(Kind.IDENTIFY, 0).encode()
        for _ in range(100):
            line.write(ask)
        device = BoardDevice(line)
        assert_right(device, job(2, 2, 40))
        device.close()


def test_a_host_that_sends_too_far_ahead_gets_it_right_all_the_same(monkeypatch):
    monkeypatch.setattr("fpga.host.link.AHEAD_BYTES", 20_000)
    device = BoardDevice(VirtualBoard(FUZZED))
    stored = np.random.default_rng(0).bytes(FUZZED.memory.words * FUZZED.memory.bytes)
    device.link.write([(0, bytes(len(stored)))] * 10 + [(0, stored)])
    assert device.link.read(0, FUZZED.memory.words) == stored
    assert device.link.repeated > 0
    device.close()
