"""UARTs, each against a line in Python that takes every bit in its middle, cycle for cycle."""

from collections import deque
from collections.abc import Iterable, Iterator

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject

from fpga.benches.catalogue import DIVISORS
from sim.benches.inside.checks import same
from sim.benches.inside.signals import PAUSES, Beat, signal
from sim.benches.inside.streams import Monitor, Source
from sim.benches.inside.testbench import Scoreboard, Testbench

BITS = 10
"""Of a byte on the line: the start bit, eight, the lowest first, and the stop bit."""

LATENCY = 3
"""Cycles from the middle of a stop bit to the byte: two registers that meet the line, and one behind."""

DEVIATIONS = (-0.03, -0.01, 0.0, 0.01, 0.03)
"""How far the other end's rate may be off."""

CORNERS = (0x55, 0x00, 0xFF, 0x80, 0x01, 0xA7)

SENT = "bytes sent back to back"
HEARD = "bytes heard back to back"
GLITCH = "a start bit that does not last"
BROKEN = "a byte without a stop bit"
MIDWAY = "reset while a byte is sent", "reset while a byte is on the line"


class Ear:
    """What a UART must hear: a start bit begins with the first low cycle, a bit is what the line is in its middle."""

    def __init__(self, bench: "UartBench"):
        self.bench = bench
        self.cycles = -1
        """Since the first one of the start bit; −1 while there is none."""
        self.bits: list[int] = []

    def step(self, level: int) -> int | None:
        """Takes the line's level in a cycle; returns the byte whose stop bit has its middle there."""
        if self.cycles < 0 and level:
            return None
        self.cycles += 1
        bit, beside = divmod(self.cycles - self.bench.divisor // 2, self.bench.divisor)
        if beside:
            return None
        self.bits = [*self.bits, level] if bit else [level]
        if self.bits == [1]:
            self.bench.met(GLITCH)
        elif len(self.bits) < BITS:
            return None
        heard = self.bits
        self.cycles, self.bits = -1, []
        if len(heard) == BITS and not heard[-1]:
            self.bench.met(BROKEN)
        return byte_of(heard[1:-1]) if len(heard) == BITS and heard[-1] else None


class UartBench(Testbench):
    """One of the UARTs.

    Parameters
    ----------
    dut : HierarchyObject
    divisor : int
        Which one: its cycles of a bit.
    idle : str
        One of `PAUSES`: when there is nothing to send.
    """

    def __init__(self, dut: HierarchyObject, divisor: int, idle: str = "never"):
        super().__init__(dut)
        self.divisor = divisor
        for other in DIVISORS:
            signal(dut, f"rx_pin_{other}").value = 1
            signal(dut, f"i_{other}_valid").value = 0
        self.rx, self.tx = signal(dut, f"rx_pin_{divisor}"), signal(dut, f"tx_pin_{divisor}")
        self.source = Source(self, self.streams[f"i_{divisor}"], idle)
        self.about(SENT, HEARD, GLITCH, BROKEN, *MIDWAY)
        self.offered = Scoreboard[int](self, "byte to send")
        self.heard = Scoreboard[tuple[int, int]](self, "byte")
        self.levels: deque[int] = deque()
        """The line that is heard, cycle by cycle; high when there is no more."""
        self.sending: deque[int] = deque()
        """Levels that are to come of the byte that is sent."""
        Monitor(self, self.streams[f"o_{divisor}"], self._out_of)
        cocotb.start_soon(self._hear())
        cocotb.start_soon(self._listen())

    def send(self, bytes_: Iterable[int]) -> None:
        """Has bytes sent."""
        sent = [int(byte) for byte in bytes_]
        self.offered.expect(sent)
        self.source.send({"payload": byte} for byte in sent)

    async def done(self) -> None:
        """Waits for all bytes, and reports the test as passed."""
        await self.offered.empty(BITS * self.divisor)
        await self.rest()
        self.finish()

    async def rest(self) -> None:
        """Waits until nothing is on the lines, and a byte's time longer."""
        while self.levels or self.sending:
            await self.edge
        await self.cycles(BITS * self.divisor)
        same("bytes that are missing", 0, len(self.heard.waiting), 8)

    def _out_of(self, cycle: int, beat: Beat) -> None:
        since, byte = self.heard.take()
        same(f"byte in cycle {cycle}", byte, beat["payload"], 8)
        same(f"cycles to byte {byte:#x} from the middle of its stop bit", LATENCY, cycle - since, 32)
        self.checked += 1

    async def _hear(self) -> None:
        """Drives the line that is heard."""
        ear, before = Ear(self), 1
        while True:
            level = self.levels.popleft() if self.levels else 1
            self.rx.value = level
            await self.edge
            if self.in_reset:
                # What the registers hold that meet the line is heard after the reset.
                self.met(MIDWAY[1], ear.cycles > self.divisor)
                ear = Ear(self)
                ear.step(before)
            byte = ear.step(level)
            if byte is not None:
                self.heard.expect([(self.cycle, byte)])
            before = level

    async def _listen(self) -> None:
        """Compares the line on which is sent, and ready, cycle by cycle."""
        stream, ended = self.source.stream, False
        assert stream.ready is not None
        while True:
            await self.edge
            if self.in_reset:
                self.met(MIDWAY[0], len(self.sending) > self.divisor)
                self.sending.clear()
                continue
            ready = int(not self.sending)
            same(f"ready, cycle {self.cycle}", ready, int(stream.is_ready), 1)
            level = self.sending.popleft() if self.sending else 1
            same(f"the line, cycle {self.cycle}", level, int(self.tx.value), 1)
            if ready and stream.is_valid:
                self.met(SENT, ended)
                self.sending += held(bits_of(self.offered.take()), self.divisor)
                self.checked += 1
            ended = not ready


def bits_of(byte: int) -> list[int]:
    """A byte on the line."""
    return [0, *(byte >> i & 1 for i in range(8)), 1]


def byte_of(bits: list[int]) -> int:
    """The byte of eight bits."""
    return sum(bit << i for i, bit in enumerate(bits))


def held(bits: list[int], cycles: float) -> Iterator[int]:
    """The levels of bits that take so many cycles each, which need not be a whole number."""
    ends = np.rint(np.arange(len(bits) + 1) * cycles).astype(int)
    for bit, length in zip(bits, np.diff(ends).tolist(), strict=True):
        yield from [bit] * length


@cocotb.test
@cocotb.parametrize(divisor=DIVISORS, idle=PAUSES)
async def sends(dut: HierarchyObject, divisor: int, idle: str) -> None:
    """Bytes are sent bit by bit, each as long as the other; the next one is taken when one has ended."""
    bench = UartBench(dut, divisor, idle)
    await bench.start()
    bench.send([*CORNERS, *bench.rng.permutation(256)[: bench.blocks]])
    await bench.done()


@cocotb.test
@cocotb.parametrize(divisor=DIVISORS)
async def hears(dut: HierarchyObject, divisor: int) -> None:
    """Bytes back to back, from an end whose rate is a little off; and what is sent meanwhile comes out all the same."""
    bench = UartBench(dut, divisor, "bursts")
    await bench.start()
    for deviation in DEVIATIONS:
        bytes_ = [*CORNERS, *bench.rng.permutation(256)[: bench.blocks // 2].tolist()]
        before = bench.heard.taken
        bench.send(bench.rng.integers(256, size=3))
        for byte in bytes_:
            bench.levels += held(bits_of(byte), divisor * (1 + deviation))
        await bench.rest()
        same(f"bytes heard at a rate {deviation:+} off", len(bytes_), bench.heard.taken - before, 32)
        bench.met(HEARD, not deviation)
    await bench.done()


@cocotb.test
@cocotb.parametrize(divisor=DIVISORS)
async def only_middles_count(dut: HierarchyObject, divisor: int) -> None:
    """Outside the middles of its bits, and after the edge of its start bit, the line is noise."""
    bench = UartBench(dut, divisor)
    await bench.start()
    bytes_ = [*CORNERS, *bench.rng.permutation(256)[: bench.blocks].tolist()]
    for byte in bytes_:
        noise = bench.rng.integers(2, size=BITS * divisor)
        noise[divisor // 2 :: divisor] = bits_of(byte)
        noise[0], noise[-divisor // 2 :] = 0, 1
        bench.levels += noise.tolist()
    await bench.rest()
    same("bytes heard", len(bytes_), bench.heard.taken, 32)
    await bench.done()


@cocotb.test
@cocotb.parametrize(divisor=DIVISORS)
async def glitches_and_breaks(dut: HierarchyObject, divisor: int) -> None:
    """What is no byte is none, and the next one is heard: low for any number of cycles; noise; no stop bit."""
    bench = UartBench(dut, divisor)
    await bench.start()
    for low in (*range(1, divisor + 2), 11 * divisor, 30 * divisor + 1):
        bench.levels += [0] * low + [1] * (BITS * divisor) + [*held(bits_of(0x42), divisor)]
        bench.levels += [1] * int(bench.rng.integers(3 * divisor))
    for byte in bench.rng.integers(256, size=bench.blocks).tolist():
        bench.levels += held([*bits_of(byte)[:-1], int(bench.rng.integers(2))], divisor)
    bench.levels += bench.rng.integers(2, size=BITS * divisor * bench.blocks).tolist()
    bench.levels += [1] * (BITS * divisor) + [*held(bits_of(0x42), divisor)]
    await bench.rest()
    await bench.done()


@cocotb.test
@cocotb.parametrize(divisor=DIVISORS)
async def reset_midway(dut: HierarchyObject, divisor: int) -> None:
    """After a reset in the middle of bytes the line is free, and a byte begins with the next low level."""
    bench = UartBench(dut, divisor)
    await bench.start()
    for i in range(bench.blocks):
        bench.send(bench.rng.integers(256, size=2))
        bench.levels += held([*bits_of(0x42), *bits_of(int(bench.rng.integers(256)))], divisor)
        await bench.cycles(int(bench.rng.integers(1, 2 * BITS * divisor)))
        while i % 4 == 0 and not bench.heard.waiting:
            bench.levels += held(bits_of(0x42), divisor)
            await bench.edge
        bench.levels.clear() if i % 2 else None
        await bench.reset()
        if i % 3 == 0:
            await bench.rest()
    bench.send(CORNERS)
    await bench.done()
