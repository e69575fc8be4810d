"""The port that reads by itself: planes of words in, bursts out, and the words of what the memory answers.

In front of it whole products wait for the slowest operand: a reader that loses a cycle now and then is not seen there.
Here each of them has all planes, gaps and delays that it can have.
"""

import itertools
from collections import Counter, deque
from dataclasses import dataclass

import cocotb
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiReadBus
from cocotbext.axi.sparse_memory import SparseMemory

from hw.axi.bursts import beats_of
from hw.axi.map import TAG_BITS
from hw.axi.ports import INCR
from hw.axi.read import operand_shapes
from hw.design import PAGE
from sim.benches.inside.axi_common import Channel
from sim.benches.inside.axi_slave import Failures, ReadSide
from sim.benches.inside.checks import Mismatch, RuleBroken, same
from sim.benches.inside.signals import PAUSES, Beat, pauses, signal
from sim.benches.inside.streams import Monitor, Sink, Source
from sim.benches.inside.testbench import Scoreboard, Testbench

FIRST = 13
"""Cycles that a reader takes for its first word, beside those of the memory and of the beats that it needs."""

HALTED = 3
"""Cycles after which a port that is to halt asks for nothing more."""


@dataclass
class Plane:
    """What of a plane has not been asked for: where it goes on, and how many beats there are."""

    address: int
    beats: int


class Side:
    """What a reader is asked for, and what is to come of it."""

    def __init__(self, bench: "ReadBench", number: int, name: str, idle: str, stall: str):
        self.shape = operand_shapes(bench.design)[name]
        self.bench, self.number, self.name = bench, number, name
        self.source = Source(bench, bench.streams[f"{name}_job"], idle)
        self.sink = Sink(bench, bench.streams[name], stall)
        self.words = Scoreboard[int](bench, f"word of {name}")
        self.planes = deque[Plane]()
        self.came: list[int] = []
        """Cycles in which its words came."""
        Monitor(bench, bench.streams[name], self._out_of)
        bench.on_reset(self.planes.clear)

    def send(self, planes: int, words: int, *, aligned: bool = False) -> None:
        """Queues a job of so many planes of so many words, anywhere in memory, often just before 4 KiB end; or in whole
        bursts."""
        bench, shape, rng = self.bench, self.shape, self.bench.rng
        beat, beats = shape.bus_bits // 8, beats_of(words, shape.word_bits, shape.bus_bits)
        stride = beats + int(rng.integers(0, 4))
        address = int(rng.integers(1 << 40)) * PAGE - int(rng.integers(0, 2 * shape.burst)) * beat % PAGE
        if aligned:
            stride, address = -(-beats // shape.burst) * shape.burst, address // PAGE * PAGE
        for k in range(planes):
            begin, data = address + k * stride * beat, rng.bytes(beats * beat)
            bench.memory.write(begin, data)
            self.planes.append(Plane(begin, beats))
            whole, mask = int.from_bytes(data, "little"), (1 << shape.word_bits) - 1
            self.words.expect(whole >> i * shape.word_bits & mask for i in range(words))
        job = {"address": address, "words": words, "beats": beats, "stride": stride, "planes": planes}
        self.source.send([job | {"tag": int(rng.integers(1 << TAG_BITS))}])

    def ask(self, burst: Beat) -> None:
        """A burst is the next one of its plane, and as long as can be."""
        if not self.planes:
            raise RuleBroken(f"{self.name} asks for more than there is: {burst}.")
        plane, beat, most = self.planes[0], self.shape.bus_bits // 8, self.shape.burst
        longest = min(plane.beats, most - plane.address // beat % most)
        if (burst["addr"], burst["len"]) != (plane.address, longest - 1):
            raise RuleBroken(f"{self.name} asks for {burst} where {longest} beats of {plane} are to be read.")
        plane.address, plane.beats = plane.address + longest * beat, plane.beats - longest
        if not plane.beats:
            self.planes.popleft()

    def _out_of(self, cycle: int, beat: Beat) -> None:
        same(f"word {len(self.came)} of {self.name}", self.words.take(), beat["payload"], self.shape.word_bits)
        self.came.append(cycle)
        self.bench.checked += 1


class ReadBench(Testbench):
    """A port that reads, those who have planes to read and take words, and a memory."""

    def __init__(self, dut: HierarchyObject, idle: str = "never", stall: str = "never", *, exact: bool = False):
        super().__init__(dut)
        self.design = self.settings.design
        self.memory, self.failures = SparseMemory(1 << 64), Failures(self.rng)
        self.reads = ReadSide(self, AxiReadBus.from_prefix(dut, "memory"), self.memory, self.failures, exact)
        if stall != "never":
            for channel in (self.reads.ar_channel, self.reads.r_channel):
                channel.set_pause_generator(pauses(stall, self.rng))
        shapes = operand_shapes(self.design)
        self.sides = [Side(self, i, name, idle, stall) for i, name in enumerate(shapes)]
        self.turns: list[int] = []
        """Whose the bursts were that were asked for."""
        self.missing: Counter[int] = Counter()
        """Beats that were asked for and have not come, by reader."""
        self.halt, self.quiet, self.error = (signal(dut, name) for name in ("halt", "quiet", "error"))
        self.halt.value = 0
        fields = ("id", "addr", "len", "size", "burst", "cache")
        Monitor(self, Channel(dut, "memory_ar", fields), self._ask)
        Monitor(self, Channel(dut, "memory_r", ("id", "resp")), self._come, waits=False)
        self.on_reset(self.missing.clear)
        self.r_valid = signal(dut, "memory_rvalid")
        self.each_cycle(self._look)

    def send(self, count: int, *, most: int = 100) -> None:
        """Queues so many jobs for each reader, of few planes, each of up to so many words."""
        for side in self.sides:
            for _ in range(count):
                side.send(int(self.rng.integers(1, 5)), int(self.rng.integers(1, most + 1)))

    def fill(self, *, single: bool = False) -> None:
        """Queues for each reader what takes more beats than its queue has places, all in one plane, or in planes of a
        word each."""
        for side in self.sides:
            shape = side.shape
            beats = shape.depth + 2 * shape.burst
            side.send(*((beats, 1) if single else (1, beats * shape.bus_bits // shape.word_bits)))

    async def empty(self) -> None:
        """Waits for all words."""
        for side in self.sides:
            await side.words.empty(side.shape.depth * len(self.sides))

    async def done(self) -> None:
        """Waits for all words, and reports the test as passed."""
        await self.empty()
        for side in self.sides:
            same(f"planes of {side.name} that were not asked for", 0, len(side.planes), 8)
        self.finish()

    def _ask(self, cycle: int, burst: Beat) -> None:
        size = (self.design.bus_bits // 8 - 1).bit_length()
        if (burst["size"], burst["burst"], burst["cache"]) != (size, INCR, self.design.axcache):
            raise RuleBroken(f"A burst in cycle {cycle} is {burst}.")
        if burst["id"] >= len(self.sides):
            raise RuleBroken(f"A burst in cycle {cycle} is nobody's: {burst}.")
        self.sides[burst["id"]].ask(burst)
        self.turns.append(burst["id"])
        self.missing[burst["id"]] += burst["len"] + 1
        if self.missing[burst["id"]] > self.sides[burst["id"]].shape.depth:
            raise RuleBroken(f"More beats are under way than there is room for, in cycle {cycle}: {self.missing}.")

    def _come(self, cycle: int, beat: Beat) -> None:
        self.missing[beat["id"]] -= 1
        same("error", beat["resp"] >> 1, int(self.error.value), 1)

    def _look(self, in_reset: bool) -> None:
        """Whoever says that all is quiet misses nothing; and there is no error without a response."""
        if int(self.error.value) and not int(self.r_valid.value):
            raise Mismatch(f"There is an error in cycle {self.cycle}, but no response.")
        if int(self.quiet.value) and not in_reset and self.missing.total():
            raise Mismatch(f"It is quiet in cycle {self.cycle}, but beats are missing: {self.missing}.")


@cocotb.test
@cocotb.parametrize(idle=PAUSES, stall=PAUSES)
async def random_planes(dut: HierarchyObject, idle: str, stall: str) -> None:
    """Jobs of every shape, with pauses everywhere."""
    bench = ReadBench(dut, idle, stall)
    await bench.start()
    bench.send(max(2, bench.blocks // 10))
    await bench.done()


@cocotb.test
@cocotb.parametrize(latency=(50, 500))
async def slow_memory(dut: HierarchyObject, latency: int) -> None:
    """Any burst is answered as late as it likes, up to so many cycles; those of different IDs in any order."""
    bench = ReadBench(dut, stall="random")
    await bench.start()
    bench.reads.latency = latency
    bench.send(max(2, bench.blocks // 20))
    await bench.done()


@cocotb.test
async def queues_fill(dut: HierarchyObject) -> None:
    """While nobody takes words, readers ask for as much as they have room for, and no more; then all goes on."""
    bench = ReadBench(dut)
    await bench.start()
    for turn in range(max(2, bench.blocks // 10)):
        for side in bench.sides:
            side.sink.blocked = True
        bench.fill(single=turn % 2 == 1)
        await bench.cycles(4 * sum(side.shape.depth for side in bench.sides))
        for side in bench.sides:
            if not side.planes:
                raise Mismatch(f"{side.name} asked for more than it has room for.")
            side.sink.blocked = False
        await bench.empty()
    await bench.done()


@cocotb.test
async def room_for_what_is_asked(dut: HierarchyObject) -> None:
    """While the memory gives nothing, readers ask for as many beats as they have places, but for those of a burst that
    are too many; also after a reset in the middle of it."""
    bench = ReadBench(dut)
    bench.reads.ar_channel.queue_occupancy_limit = -1
    await bench.start()
    for turn in range(max(4, bench.blocks // 5)):
        bench.reads.r_channel.pause = True
        bench.fill(single=turn % 2 == 0)
        await bench.cycles(4 * sum(side.shape.depth for side in bench.sides))
        for side in bench.sides:
            shape = side.shape
            burst = min(beats_of(1, shape.word_bits, shape.bus_bits), shape.burst) if turn % 2 == 0 else shape.burst
            if bench.missing[side.number] <= shape.depth - burst:
                raise Mismatch(f"{side.name} asked for {bench.missing[side.number]} beats of {shape.depth}.")
        bench.reads.r_channel.pause = False
        if turn % 4 == 0:
            await bench.empty()
        else:
            await bench.cycles(int(bench.rng.integers(10, 100)))
            await bench.reset()
    bench.send(1)
    await bench.done()


@cocotb.test
async def patient_consumers(dut: HierarchyObject) -> None:
    """No word waits until somebody is ready for it."""
    bench = ReadBench(dut)
    for side in bench.sides:
        side.sink.patient = True
    await bench.start()
    bench.send(3)
    await bench.done()


@cocotb.test
@cocotb.parametrize(wait=range(3, 8))
async def readers_take_turns(dut: HierarchyObject, wait: int) -> None:
    """No reader has a burst taken, and then another one, while others ask, however long an address waits."""
    bench = ReadBench(dut)
    await bench.start()
    bench.reads.ar_channel.pause = bench.reads.r_channel.pause = True
    bench.fill()
    await bench.cycles(50)
    bench.reads.ar_channel.set_pause_generator(itertools.cycle([False, *[True] * wait]))
    await bench.cycles(100 * wait)
    for at, (one, other) in enumerate(itertools.pairwise(bench.turns)):
        if one == other and set(bench.turns[at:]) != {one}:
            raise Mismatch(f"Reader {one} had two turns, but others asked as well: {bench.turns}.")
    same("readers that had a turn", len(bench.sides), len(set(bench.turns)), 8)
    bench.checked += len(bench.turns)
    bench.finish()


@cocotb.test
@cocotb.parametrize(latency=(1, 20))
async def full_throughput(dut: HierarchyObject, latency: int) -> None:
    """A reader that is alone hands out a word in every cycle, or as many as come, from its first beats to its last, but
    for a cycle from job to job."""
    bench = ReadBench(dut, exact=True)
    await bench.start()
    bench.reads.latency = latency
    for side, planes, jobs in itertools.product(bench.sides, (1, 3), (1, 2)):
        shape, begin = side.shape, bench.cycle
        words = 100
        beats, first = (beats_of(count, shape.word_bits, shape.bus_bits) for count in (words, 1))
        side.came.clear()
        for _ in range(jobs):
            side.send(planes, words, aligned=True)
        await side.words.empty(beats)
        same(f"cycles until the first word of {side.name}", FIRST + latency + first, side.came[0] - begin, 16)
        cycles = jobs * planes * max(words, beats) - (first - 1) + (jobs - 1)
        same(f"cycles from the first word of {side.name} to the last", cycles, side.came[-1] - side.came[0] + 1, 16)
    await bench.done()


@cocotb.test
async def halts(dut: HierarchyObject) -> None:
    """Whoever halts it is told when all has come that was asked for, and not before; it goes on where it was."""
    bench = ReadBench(dut, stall="random")
    await bench.start()
    bench.reads.latency = 20
    for _ in range(max(4, bench.blocks // 10)):
        bench.send(2)
        await bench.cycles(int(bench.rng.integers(10, 200)))
        bench.halt.value = 1
        await bench.cycles(HALTED)
        asked = len(bench.turns)
        for _ in range(5000):
            if int(bench.quiet.value):
                break
            await bench.edge
        else:
            raise Mismatch("It does not become quiet.")
        await bench.cycles(50)
        if len(bench.turns) > asked + 1:  # one may have been on offer
            raise Mismatch(f"{len(bench.turns) - asked} bursts were asked for while it was halted.")
        same("quiet", 1, int(bench.quiet.value), 1)
        bench.halt.value = 0
        await bench.empty()
    await bench.done()


@cocotb.test
async def errors(dut: HierarchyObject) -> None:
    """A response that is an error is told of as it comes, and not before or after."""
    bench = ReadBench(dut, stall="random")
    await bench.start()
    for _ in range(max(4, bench.blocks // 10)):
        bench.failures.after = int(bench.rng.integers(0, 50))
        bench.send(2)
        await bench.empty()
    await bench.done()


@cocotb.test
@cocotb.parametrize(stall=PAUSES)
async def reset_midway(dut: HierarchyObject, stall: str) -> None:
    """After a reset at any moment, of the memory as well, nothing is left of what was going on, though the next job
    comes at once."""
    bench = ReadBench(dut, stall=stall)
    await bench.start()
    for _ in range(max(10, bench.blocks // 3)):
        blocked = int(bench.rng.integers(3))
        for side in bench.sides:
            side.sink.blocked = blocked == 1
        bench.reads.r_channel.pause = blocked == 2 and stall == "never"
        if bench.rng.random() < 0.5:
            bench.fill()
        else:
            bench.send(3)
        await bench.cycles(int(bench.rng.integers(1, 300)))
        for side in bench.sides:
            side.sink.blocked = False
        await bench.reset()
        bench.reads.r_channel.pause = False
        bench.send(1, most=20)
        await bench.empty()
    await bench.done()
