"""The board, command by command: what it answers, and that its products are golden's."""

import json
from itertools import count

import numpy as np
import pytest

from fpga.benches import faults
from fpga.benches.faults import numbers, orders, refused
from fpga.gateware.core import BoardCore
from fpga.identity import Identity
from fpga.link import MAX_DATA, REPLY, Deframer, Frame, Kind, Status
from fpga.memory import MemoryShape
from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.int8 import quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize
from hw.design import PRESETS, DesignPoint
from hw.engine.banks import w_word, x_word
from hw.engine.counters import COUNTERS
from hw.engine.planner import ERRORS
from hw.generate import generate
from sim.rtl import verilator
from sim.rtl.model import Model
from sim.tiles import Job

IDENTITY = json.dumps({"name": "a board"}).encode()

TINY = PRESETS["tiny"]

CASES = {
    "tiny": (TINY, MemoryShape(16, 4096)),
    "narrow": (TINY, MemoryShape(8, 8192)),
    "wide": (DesignPoint(name="wide", rows=2, cols=3), MemoryShape(64, 2048)),
    "widest": (
        DesignPoint(name="widest", rows=3, cols=1, panel_rows=63, format=Format(4, (1,))),
        MemoryShape(512, 2048),
    ),
    "spram": (
        DesignPoint(name="spram", rows=2, cols=2, dataflow="ws", activations=("packed", "int8")),
        MemoryShape(16, 32768, spram=True),
    ),
}


class Line:
    """A Verilated board, byte by byte."""

    def __init__(self, path):
        self.model = Model(path)
        self.model.reset()
        self.deframer, self.numbers = Deframer(), count()
        assert self.say(Frame(Kind.RESET, 255)) == Frame(Kind.RESET | REPLY, 255, b"\0")

    def say(self, frame):
        """The reply to a frame."""
        return self.exchange(frame.encode())

    def exchange(self, line):
        """The next frame that comes after some bytes are sent."""
        beats = np.frombuffer(line, np.uint8).astype(np.uint32)[:, None]
        run = self.model.run({"rx": beats}, {"tx": 1})
        while True:
            for frame in self.deframer.feed(bytes(run.outputs["tx"].astype(np.uint8).ravel())):
                assert not self.deframer.damaged
                return frame
            run = self.model.run({}, {"tx": 1})

    def order(self, kind, payload):
        """Sends an ordered command with its number; the payload of the reply."""
        number = next(self.numbers) % 256
        reply = self.say(Frame(kind, number, payload))
        assert (reply.kind, reply.sequence) == (kind | REPLY, number)
        return reply.payload

    def read(self, address, words):
        reply = self.say(Frame(Kind.READ, 77, numbers(4, words, address)))
        assert (reply.kind, reply.sequence) == (Kind.READ | REPLY, 77)
        return reply.payload


def image(payload, word, bits):
    """Words of a stream as they lie in memory: their fields one after the other, filled up to whole memory words."""
    fields = [
        np.unpackbits(array.view(np.uint8), axis=1, bitorder="little")[:, : field.width]
        for array, (_, field) in zip(payload.values(), word, strict=True)
    ]
    lanes = np.concatenate(fields, axis=1)
    return np.packbits(np.pad(lanes, ((0, 0), (0, -lanes.shape[1] % bits))), axis=1, bitorder="little").tobytes()


@pytest.fixture(scope="module", params=CASES)
def board(request, tmp_path_factory):
    design, memory = CASES[request.param]
    name = f"board_{request.param}"
    path = generate(BoardCore(design, memory, IDENTITY), name).write(tmp_path_factory.mktemp(name))
    verilator.lint(path, name)
    return path, design, memory


@pytest.fixture
def line(board):
    path, design, memory = board
    line = Line(path)
    yield line, design, memory
    line.model.close()


def run(line, job, memory, x_at, w_at, y_at):
    """Runs a job of one part; its accumulators and counters."""
    inputs, design = job.inputs(), job.design
    for side, word, at in (("x", x_word(design), x_at), ("w", w_word(design), w_at)):
        data = image(inputs[side], word, memory.bits)
        for i in range(0, len(data), MAX_DATA // memory.bytes * memory.bytes):
            some = data[i : i + MAX_DATA // memory.bytes * memory.bytes]
            assert line.order(Kind.WRITE, numbers(4, at + i // memory.bytes) + some) == b"\0"
    (part,) = job.parts
    arguments = numbers(2, part.rows, part.tiles, part.steps, job.int8) + numbers(4, x_at, w_at, y_at)
    reply = line.order(Kind.RUN, arguments)
    assert reply[0] == Status.OK
    counters = dict(zip(COUNTERS, np.frombuffer(reply[1:], "<u4").tolist(), strict=True))
    row = memory.words_of(32 * design.cols)
    rows = b""
    for i in range(job.output_rows):
        reply = line.read(y_at + i * row, row)
        assert reply[0] == Status.OK
        rows += reply[1:][: 4 * design.cols]
    return job.accumulators(np.frombuffer(rows, "<u4").reshape(job.output_rows, -1)), counters


def test_products_are_goldens(line):
    line, design, memory = line
    rng = np.random.default_rng(5)
    for int8 in (False, True) if design.int8 else (False,):
        for m, n, k in ((1, 1, 8), (5, 7, 40), (design.panel_rows, 3, 25), (2, 12, 100)):
            x = quantize_int8(rng.normal(size=(m, k))) if int8 else quantize(rng.normal(size=(m, k)), design.format)
            w = quantize(rng.normal(size=(n, k)), design.format)
            job = Job(design, x, w)
            at = rng.permutation(3) * (memory.words // 3)
            accumulators, counters = run(line, job, memory, *at)
            assert np.array_equal(accumulators, matmul(x, w).accumulators)
            assert counters["busy"] == job.beats


def test_a_job_is_right_after_one_that_came_to_nothing(line):
    """One that still runs, and gives results that nobody waits for."""
    line, design, memory = line
    rng = np.random.default_rng(7)
    x, w = (quantize(rng.normal(size=(size, 40)), design.format) for size in (5, 7))
    at = np.arange(3) * (memory.words // 3)
    for address in (memory.words - 1, memory.words - 3):
        outside = numbers(2, design.rows, 2000, 1, 0) + numbers(4, 0, 0, address)
        number = next(line.numbers)
        assert line.say(Frame(Kind.RUN, number, outside)).payload[0] == Status.STUCK
        line.numbers = count(number)
        accumulators, _ = run(line, Job(design, x, w), memory, *at)
        assert np.array_equal(accumulators, matmul(x, w).accumulators)


def test_memory_is_written_and_read(line):
    line, _, memory = line
    rng = np.random.default_rng(6)
    most = MAX_DATA // memory.bytes
    for size in (1, 2, most):
        for address in (0, 5, memory.words - size):
            words = rng.bytes(size * memory.bytes)
            assert line.order(Kind.WRITE, numbers(4, address) + words) == b"\0"
            assert line.read(address, size) == b"\0" + words


def test_identity(line):
    line, _, _ = line
    assert line.say(Frame(Kind.IDENTIFY, 3)) == Frame(Kind.IDENTIFY | REPLY, 3, b"\0" + IDENTITY)


def test_every_error_has_its_code(line):
    line, design, memory = line

    def reply(kind, payload, number=0):
        reply = line.say(Frame(kind, number, payload))
        assert (reply.kind, reply.sequence, len(reply.payload)) == (kind | REPLY, number, 2)
        return reply.payload

    for wrong in refused(design, memory):
        detail = 1 << ERRORS.index(wrong.detail) if wrong.detail else 0
        assert reply(wrong.kind, wrong.payload, wrong.number) == bytes((wrong.status, detail)), wrong
    assert reply(Kind.RUN, faults.job(5, 5, 5, *[memory.words - 1] * 3))[0] == Status.STUCK
    assert reply(Kind.RUN, faults.job(5, 500, 1, 0, 0, memory.words - 2))[0] == Status.STUCK
    damaged = Frame(Kind.READ, 4, numbers(4, 1, 0)).encode().replace(b"\x04", b"\x05")
    assert line.exchange(damaged) == Frame(Kind.DAMAGED | REPLY, 0, bytes((Status.CRC, 0)))
    # What failed was not counted: the number is still the first.
    assert line.order(*orders(memory)[0]) == b"\0"


def test_an_order_is_carried_out_once(line):
    line, _, memory = line
    old, new = (bytes((i,)) * memory.bytes for i in (1, 2))
    first = Frame(Kind.WRITE, 0, numbers(4, 9) + old)
    assert line.say(first).payload == b"\0"
    assert line.say(Frame(Kind.WRITE, 1, numbers(4, 9) + new)).payload == b"\0"
    assert line.say(first).payload == bytes((Status.SEQUENCE, 2))
    assert line.read(9, 1) == b"\0" + new
    assert line.say(Frame(Kind.RESET, 255)).payload == b"\0"
    assert line.say(first).payload == b"\0"
    assert line.read(9, 1) == b"\0" + old


def test_what_cannot_be_a_board():
    with pytest.raises(GossetError, match="bits of a memory must be a power of two from 8 to 512; got 24"):
        MemoryShape(24, 4096)
    with pytest.raises(GossetError, match="words of a memory must be a power of two"):
        MemoryShape(8, 100)
    with pytest.raises(GossetError, match="SPRAM has words of 16 bits"):
        MemoryShape(32, 32768, spram=True)
    design = DesignPoint(name="raw", rows=1, cols=1, front_end=FrontEndRules())
    with pytest.raises(GossetError, match="raw has a front end"):
        Identity(board="b", clock_hz=1, memory=MemoryShape(16, 4096), design=design)
    with pytest.raises(GossetError, match="503 bytes at most"):
        Identity(board="b" * 500, clock_hz=1, memory=MemoryShape(16, 4096), design=TINY).encode()
