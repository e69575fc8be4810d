"""The accelerator as software sees it: its registers, through an AXI4-Lite master."""

from collections.abc import Callable, Iterator
from typing import Any

from cocotb.simtime import get_sim_time
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiResp

from hw.axi.map import JOB_BITS, TAG_BITS
from hw.engine.planner import SUMS
from hw.registers import RegisterMap
from sim.benches.inside.checks import Mismatch
from sim.benches.inside.testbench import patience
from sim.image import descriptor_image
from sim.models.schedule import Part

REGISTERS = 400
"""Cycles that a job's registers take to be written."""

POLL = 20
"""Cycles between two looks at a register."""


class Driver:
    """Programs the accelerator.

    Parameters
    ----------
    map : RegisterMap
    master : AxiLiteMaster
    clock : handle
    met : callable, optional
        Called with the name of each error that is read.
    moved : callable, optional
        How much has been seen to move: software does not wait for what does not.
    """

    def __init__(
        self,
        map: RegisterMap,
        master: Any,
        clock: Any,
        met: Callable[[str], None] = lambda name: None,
        moved: Callable[[], int] | None = None,
    ):
        self.map, self.master, self.clock, self.met, self.moved = map, master, clock, met, moved
        self.patience = patience(0)
        """Cycles after which what software waits for is given up; see `expect`."""
        self.rest = patience(0)
        """Cycles in which nothing moves after which it is, too."""
        self.tag = 1 << (TAG_BITS - 1)
        """Of the job that was described last."""
        self.moment = 0
        """Simulation time of the last snapshot."""

    def expect(self, jobs: int, work: int) -> None:
        """Is as patient from now on as so many jobs of so many beats each ask for."""
        self.patience = max(self.patience, patience(jobs * (work + REGISTERS)))
        self.rest = max(self.rest, patience(work))

    async def read(self, name: str) -> dict[str, int]:
        """The fields of a register."""
        reply = await self.master.read(self.map.offset(name), 4)
        if reply.resp != AxiResp.OKAY:
            raise Mismatch(f"Reading register {name} was answered by {reply.resp.name}.")
        return self.map.unpack(name, int.from_bytes(reply.data, "little"))

    async def value(self, name: str) -> int:
        """A register that is one number."""
        return (await self.read(name))["value"]

    async def write(self, name: str, **fields: int) -> None:
        """Writes a register; fields that are left out are written as zero."""
        word = self.map.pack(name, **fields)
        reply = await self.master.write(self.map.offset(name), word.to_bytes(4, "little"))
        if reply.resp != AxiResp.OKAY:
            raise Mismatch(f"Writing register {name} was answered by {reply.resp.name}.")

    async def submit(self, part: Part, *, int8: bool, addresses: dict[str, int] | None = None, **kinds: int) -> None:
        """Queues a job, as soon as there is room, with the next tag if there are any."""
        await self.until("status", lambda status: status["room"] > 0)
        kinds |= {name: 1 for name in SUMS if getattr(part, name)}
        await self.describe(part.rows, part.tiles, part.steps, int8=int8, addresses=addresses, **kinds)
        await self.write("doorbell", go=1)

    async def describe(
        self,
        rows: int,
        tiles: int,
        steps: int,
        *,
        int8: bool = False,
        addresses: dict[str, int] | None = None,
        **kinds: int,
    ) -> None:
        """Writes the registers of a job; `kinds` are further fields of its mode."""
        for name, value in (("rows", rows), ("tiles", tiles), ("steps", steps)):
            await self.write(f"job_{name}", value=value)
        await self.write("job_mode", int8=int(int8), **kinds)
        if "job_tag" in self.map.by_name:
            self.tag = (self.tag + 1) % (1 << TAG_BITS)
            await self.write("job_tag", value=self.tag)
        for name, address in (addresses or {}).items():
            if name.endswith("stride"):
                await self.write(f"job_{name}", value=address)
                continue
            await self.write(f"job_{name}_low", value=address & 0xFFFF_FFFF)
            await self.write(f"job_{name}_high", value=address >> 32)

    def descriptor(
        self,
        rows: int,
        tiles: int,
        steps: int,
        *,
        int8: bool = False,
        addresses: dict[str, int] | None = None,
        scale: int = 0,
        **kinds: int,
    ) -> bytes:
        """A descriptor of a job, as `describe` has its registers; `scale` is the word of `job_scale`."""
        self.tag = (self.tag + 1) % (1 << TAG_BITS)
        mode = self.map.pack("job_mode", int8=int(int8), **kinds)
        shape = {"rows": rows, "tiles": tiles, "steps": steps, "mode": mode, "scale": scale}
        return descriptor_image(**shape, tag=self.tag, **(addresses or {}))

    async def open_ring(self, address: int, size: int) -> None:
        """Says where the ring of descriptors is, and the logarithm of its size; nothing is in it."""
        low = self.map.by_name["ring_base_low"].fields[0].low
        await self.write("ring_base_low", value=(address & 0xFFFF_FFFF) >> low)
        await self.write("ring_base_high", value=address >> 32)
        await self.write("ring_size", value=size)

    async def coalesce(self, jobs: int = 0, cycles: int = 0) -> None:
        """Has the interrupt wait until so many jobs are done, or for so many cycles after one; 0: for neither."""
        await self.write("irq_coalescing", jobs=jobs, cycles=cycles)

    async def abort(self, number: int) -> None:
        """Has the job of a number given up, if it is not done; waits until that is decided."""
        await self.write("abort", number=number % (1 << JOB_BITS), go=1)
        await self.until("abort", lambda abort: not abort["pending"])

    async def reset(self) -> None:
        """A soft reset."""
        await self.write("control", reset=1)
        await self.until("status", lambda status: bool(status["in_reset"]))
        await self.write("control", reset=0)
        await self.until("status", lambda status: not status["in_reset"])

    async def errors(self) -> set[str]:
        """Names of the errors that are set; clears their interrupt first, so that none is lost, and then them."""
        await self.write("irq_status", error=1)
        found = await self.read("error")
        await self.write("error", **found)
        names = {name for name, value in found.items() if value}
        for name in names:
            self.met(name)
        return names

    async def counters(self, *, clear: bool = False) -> dict[str, int]:
        """All counters, as of the same moment; then they begin at zero, if wished."""
        await self.write("counter_control", snapshot=1, clear=int(clear))
        self.moment = get_sim_time("step")
        names = [name for name in self.map.by_name if name.startswith("count_")]
        return {name.removeprefix("count_"): await self.value(name) for name in names}

    async def until(self, name: str, condition: Any) -> dict[str, int]:
        """Reads a register until its fields are as wanted."""
        for _ in self._waiting(POLL):
            fields = await self.read(name)
            if condition(fields):
                return fields
            await ClockCycles(self.clock, POLL)
        raise Mismatch(f"Register {name} still reads {fields} after {self._given_up}.")

    async def interrupt(self, irq: Any) -> None:
        """Waits for the interrupt."""
        for _ in self._waiting(1):
            if int(irq.value):
                return
            await ClockCycles(self.clock, 1)
        status, errors = await self.read("status"), await self.read("error")
        raise Mismatch(f"No interrupt in {self._given_up}; status {status}, errors {errors}.")

    @property
    def _given_up(self) -> str:
        return f"{self.patience} cycles, or {self.rest} in which nothing moved"

    def _waiting(self, step: int) -> Iterator[None]:
        """Lets software wait for so many cycles each time, until it is too long."""
        moved, since = 0, 0
        for waited in range(0, self.patience, step):
            if self.moved and self.moved() != moved:
                moved, since = self.moved(), waited
            if self.moved and waited - since > self.rest:
                return
            yield
