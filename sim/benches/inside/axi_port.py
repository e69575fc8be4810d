"""A top with a memory port and the memory behind it, which stalls, reorders and fails: both held to their rules."""

import bisect
from collections import Counter
from collections.abc import Iterator

import numpy as np
from cocotb.handle import HierarchyObject
from cocotbext.axi import AxiReadBus, AxiWriteBus
from cocotbext.axi.sparse_memory import SparseMemory

from hw.axi.ports import INCR
from hw.axi.read import operand_shapes
from hw.axi.write import outstanding
from sim.benches.inside.axi_common import AxiBench, Channel
from sim.benches.inside.axi_slave import Failures, ReadSide, WriteSide
from sim.benches.inside.checks import Mismatch, RuleBroken, same
from sim.benches.inside.signals import Beat, signal
from sim.benches.inside.streams import Monitor
from sim.image import plane_bytes
from sim.tiles import Payload

GUARD = 64
"""Bytes before and after the results that must not change."""

HALVES = ("low", "high")


class PortBench(AxiBench):
    """A memory, and what is read and written; one that is `exact` answers in order, after just its latency."""

    def __init__(self, dut: HierarchyObject, stall: str = "never", *, independent: bool = False, exact: bool = False):
        super().__init__(dut, stall)
        self.memory = SparseMemory(1 << 64)
        self.read_failures, self.write_failures = Failures(self.rng), Failures(self.rng)
        self.reads = ReadSide(self, AxiReadBus.from_prefix(dut, "m_axi_mem"), self.memory, self.read_failures, exact)
        self.writes = WriteSide(
            self, AxiWriteBus.from_prefix(dut, "m_axi_mem"), self.memory, self.write_failures, exact
        )
        for side, names in ((self.reads, ("ar", "r")), (self.writes, ("aw", "w", "b"))):
            self.pause(*(getattr(side, f"{name}_channel") for name in names))
        self.asked = 0
        """Bursts that were read."""
        self.asked_by: Counter[int] = Counter()
        """Beats that were read, by the number of the reader."""
        self.strays: list[str] = []
        """What was read that is no part of an operand, told at the end: a rule of the bus that it breaks says more."""
        self.unanswered = 0
        """Bursts that were written and not answered yet."""
        self.ended = 0
        """The cycle in which the last one was answered."""
        self.planes: list[tuple[int, int, int]] = []
        """Where planes of operands begin and end, and the number of their reader."""
        self.moved: Counter[str] = Counter()
        """Cycles by channel, in which it moved, or stalled; counted if the design counts them."""
        if self.design.diagnostics:
            shakes = ([f"m_axi_mem_{name}{line}" for line in ("valid", "ready")] for name in ("ar", "r", "aw", "w"))
            self._lines = [[signal(dut, port) for port in ports] for ports in shakes]
            self._last, self._within = signal(dut, "m_axi_mem_wlast"), False
            self.each_cycle(self._count)
        for name, on_burst in (("ar", self._ask), ("aw", self._write_burst)):
            fields = ("id", "addr", "len", "size", "burst", "cache", "prot")
            self.watch(f"m_axi_mem_{name}", fields, on_burst, independent=independent)
        Monitor(self, Channel(dut, "m_axi_mem_b", ("resp",)), self._answered, waits=False)
        self.on_reset(self._forget)
        self.watch("m_axi_mem_w", ("data", "strb", "last"), independent=independent)
        self.beat = self.design.bus_bits // 8
        self.next_address = int(self.rng.integers(15 << (self.design.address_bits - 4), dtype=np.uint64))

    def places(self) -> list[int]:
        """Of the queue of each reader of an operand, in beats."""
        return [shape.depth for shape in operand_shapes(self.design).values()]

    def went_round(self) -> bool:
        """Whether more beats went through each of these queues than it has places."""
        return all(self.asked_by[reader] > depth for reader, depth in enumerate(self.places()))

    def place(self, size: int) -> int:
        """An aligned address with room for `size` bytes, anywhere, often just before 4 KiB or 4 GiB end."""
        gap = int(self.rng.integers(1, 4)) << 12
        near = int(self.rng.integers(0, 8)) * self.beat
        boundary = 1 << int(self.rng.choice([12, 12, 12, 32 if self.design.address_bits == 64 else 12]))
        address = (self.next_address + gap + boundary) // boundary * boundary - near
        self.next_address = address + size + GUARD
        return address

    def _noise(self, address: int, size: int) -> None:
        """Fills where results will be, and what is around them."""
        self.memory.write(address - GUARD, b"\xa5" * (size + 2 * GUARD))

    def _written(self, what: str, address: int, size: int) -> bytes:
        """What a job wrote; looks at what is around it."""
        data = self.memory.read(address - GUARD, size + 2 * GUARD)
        if set(data[:GUARD] + data[GUARD + size :]) != {0xA5}:
            raise Mismatch(f"{what} wrote beside its results.")
        return bytes(data[GUARD : GUARD + size])

    def be_patient(self) -> None:
        """Has the memory be ready only when valid has been seen."""

        def while_idle(name: str) -> Iterator[bool]:
            valid = signal(self.dut, f"m_axi_mem_{name}valid")
            while True:
                yield not int(valid.value)

        self.reads.ar_channel.set_pause_generator(while_idle("ar"))
        self.writes.aw_channel.set_pause_generator(while_idle("aw"))
        self.writes.w_channel.set_pause_generator(while_idle("w"))

    def _note_planes(
        self, addresses: dict[str, int], tiles: int, x_words: Payload, w_words: Payload, others: dict[str, int]
    ) -> None:
        """Remembers which reader is to fetch what: those of x, of w, of an output stage's columns and rows, and of raw
        rows, in that order, and of an operand the labels first; `others` are sizes of all but operands, of raw rows
        under "x"."""
        reader = 0
        for side, words, count in (("x", x_words, 1), ("w", w_words, tiles)):
            sizes = plane_bytes(self.design, side, len(words[f"{side}_labels"]) // count)
            start = addresses[side]
            for _ in range(0 if side in others else count):
                for i, size in enumerate(sizes):
                    self.planes.append((start, start + size, reader + i))
                    start += size
            reader += len(sizes)
        for i, (name, size) in enumerate(others.items()):
            self.planes.append((addresses[name], addresses[name] + size, reader + i))
        self.planes.sort()

    def note_activations(self, address: int, words: int) -> None:
        """Remembers that the readers of x are to fetch so many words there."""
        for reader, size in enumerate(plane_bytes(self.design, "x", words)):
            bisect.insort(self.planes, (address, address + size, reader))
            address += size

    def _count(self, in_reset: bool) -> None:
        """Counts what the registers count; and sees to it that a burst of data does not pause once it has begun."""
        ar, r, aw, w = ((int(valid.value), int(ready.value)) for valid, ready in self._lines)
        for name, line in (("ar", ar), ("r", r), ("aw", aw), ("w", w)):
            self.moved[f"{name} beats"] += line == (1, 1)
        if self._within and not w[0] and not in_reset:
            raise RuleBroken(f"The data of a burst pause in cycle {self.cycle}.")
        self._within = bool(w[0] and not (w[1] and int(self._last.value))) and not in_reset
        self.moved["read stalled"] += ar == (1, 0)
        self.moved["write stalled"] += (1, 0) in (aw, w)

    def since(self, before: Counter[str], side: str) -> tuple[int, int]:
        """Beats of a side, and cycles in which it stalled, since so many were counted."""
        names = f"{side[0]} beats", f"{side} stalled"
        beats, stalled = (self.moved[name] - before[name] for name in names)
        return beats, stalled

    def _ask(self, cycle: int, burst: Beat) -> None:
        self.asked += 1
        self.asked_by[burst["id"]] += burst["len"] + 1
        self._check_burst(cycle, burst)
        end = burst["addr"] + (burst["len"] + 1) * self.beat
        at = bisect.bisect(self.planes, burst["addr"], key=lambda plane: plane[0])
        if not at or end > self.planes[at - 1][1] or burst["id"] != self.planes[at - 1][2]:
            self.strays.append(f"No plane of that reader is where a burst in cycle {cycle} reads: {burst}.")

    def finish(self) -> None:
        """Reports the test as passed, if nothing was read that nobody needs."""
        if self.strays:
            raise RuleBroken(self.strays[0])
        super().finish()

    def _write_burst(self, cycle: int, burst: Beat) -> None:
        self._check_burst(cycle, burst)
        self.unanswered += 1
        if burst["id"] or self.unanswered > outstanding(self.design):
            raise RuleBroken(f"{self.unanswered} bursts wait for a response in cycle {cycle}, the last is {burst}.")

    def _answered(self, cycle: int, reply: Beat) -> None:
        self.unanswered -= 1
        self.ended = cycle

    def _forget(self) -> None:
        self.unanswered = 0

    def _check_burst(self, cycle: int, burst: Beat) -> None:
        address, beats = burst["addr"], burst["len"] + 1
        if (
            beats > self.design.burst
            or 1 << burst["size"] != self.beat
            or burst["burst"] != INCR
            or address % self.beat
        ):
            raise RuleBroken(f"A burst in cycle {cycle} is {burst}.")
        if (burst["cache"], burst["prot"]) != (self.design.axcache, self.design.axprot):
            raise RuleBroken(f"The attributes of a burst in cycle {cycle} are not those of the design: {burst}.")
        if address // 4096 != (address + beats * self.beat - 1) // 4096:
            raise RuleBroken(f"A burst of {beats} beats at 0x{address:x}, in cycle {cycle}, crosses 4 KiB.")

    async def check_bus_error(self, side: str, placed: list[dict[str, int]], tag: int) -> None:
        """What the registers say of a bus error is what the memory says of it; `tag` is that before the jobs'."""
        driver, first = self.driver, getattr(self, f"{side}_failures").first
        about, halves = await driver.read("bus_error"), [await driver.value(f"bus_error_{half}") for half in HALVES]
        same("valid", 1, about["valid"], 1)
        same("write", int(side == "write"), about["write"], 1)
        for name in ("response", "id"):
            same(f"{name} of the bus error", first[name], about[name], 3)
        same("address of the bus error", first["address"], halves[0] | halves[1] << 32, 64)
        # Images are placed one after the other, those of a job together.
        begins = [addresses["y" if side == "write" else "x"] for addresses in placed]
        same("tag", (tag + sum(begin <= first["address"] for begin in begins)) % 2**16, about["tag"], 16)
        await driver.write("bus_error", valid=1)
        same("valid after it was cleared", 0, (await driver.read("bus_error"))["valid"], 1)
        self.checked += 1
