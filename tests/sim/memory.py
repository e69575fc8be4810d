"""The accelerator with a memory port, and a memory of a given latency behind it: one design for the simulator.

Whatever is read is zero, for cycles do not depend on the numbers.
"""

from functools import cache

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.axi.map import job_layout
from hw.axi.memory import MemoryCore
from hw.axi.ports import PortRegisters, forward
from hw.design import DesignPoint
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import OUT, SUMS
from hw.generate import Generated, generate
from sim.models.bus import BusCycles, BusJob
from sim.rtl.model import Model

WAITING = 1024
"""Bursts that the memory can have accepted and not answered."""


class Memory(wiring.Component):
    """Takes a burst in every cycle; its first beat is on offer `latency` + 1 cycles later, or after the one before."""

    def __init__(self, design: DesignPoint):
        self.core = MemoryCore(design)
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(design, addressed=True))),
                "latency": In(16),
                "ended": Out(stream.Signature(1, always_ready=True)),
                **{name: Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self.core
        axi = core.memory
        if core.design.port_registers:
            m.submodules.port = port = PortRegisters(core.memory.signature)
            forward(m, port.inner, core.memory)
            axi = port.outer
        now = Signal(32)
        m.d.sync += now.eq(now + 1)
        wiring.connect(m, wiring.flipped(self.job), core.job)
        m.d.comb += [self.ended.valid.eq(core.done), self.ended.payload.eq(1)]
        m.d.comb += [getattr(self, name).eq(core.counters[name]) for name in COUNTERS]

        request = data.StructLayout({"id": len(axi.arid), "len": 8, "due": 32})
        m.submodules.reads = reads = SyncFIFO(width=request.size, depth=WAITING)
        asked, head = data.View(request, reads.w_data), data.View(request, reads.r_data)
        beat = Signal(8)
        m.d.comb += [
            asked.id.eq(axi.arid),
            asked.len.eq(axi.arlen),
            asked.due.eq(now + 1 + self.latency),
            reads.w_en.eq(axi.arvalid),
            axi.arready.eq(reads.w_rdy),
            axi.rvalid.eq(reads.r_rdy & ((now - head.due)[-1] == 0)),
            axi.rid.eq(head.id),
            axi.rlast.eq(beat == head.len),
            reads.r_en.eq(axi.rvalid & axi.rlast),
        ]
        with m.If(axi.rvalid):
            m.d.sync += beat.eq(beat + 1)
            with m.If(axi.rlast):
                m.d.sync += beat.eq(0)

        m.submodules.writes = writes = SyncFIFO(width=32, depth=WAITING)
        m.d.comb += [
            axi.awready.eq(1),
            axi.wready.eq(1),
            writes.w_data.eq(now + 1 + self.latency),
            writes.w_en.eq(axi.wvalid & axi.wlast),
            axi.bvalid.eq(writes.r_rdy & ((now - writes.r_data)[-1] == 0)),
            writes.r_en.eq(axi.bvalid & axi.bready),
        ]
        return m


@cache
def generated(design: DesignPoint) -> Generated:
    return generate(Memory(design), f"{design.module}_memory", design=design.as_dict())


def measure(model: Model, jobs: list[BusJob], latency: int) -> BusCycles:
    """Runs jobs on the RTL, from a reset on; beats are not counted."""
    each = [[j.rows, j.tiles, j.steps, j.passes - 1, j.raw, j.out, j.add, j.keep] for j in jobs]
    table, names = np.array(each, dtype=np.uint32), ("rows", "tiles", "steps", "int8", "raw", *OUT, *SUMS)
    fields = {field.port for field in model.layout("job").fields}
    words = {f"job_{name}": table[:, [i]] for i, name in enumerate(names) if f"job_{name}" in fields}
    for name, strides in (("y", [job.stride for job in jobs]), ("x", [job.x_stride for job in jobs])):
        if f"job_{name}_stride" in fields:
            words[f"job_{name}_stride"] = np.array(strides, dtype=np.uint32)[:, None]
    if "job_scale" in fields:
        words["job_scale"] = np.ones((len(jobs), 1), dtype=np.uint32)
    for name in (name for name in "xwycr" if f"job_{name}" in fields):
        addresses = np.array([getattr(job, name) for job in jobs], dtype=np.uint64)
        words[f"job_{name}"] = addresses[:, None].view(np.uint32)
    model.reset()
    model.io.latency = latency
    before = {name: int(getattr(model.io, name)) for name in COUNTERS}
    run = model.run({"job": model.layout("job").pack(words)}, {"ended": len(jobs)})
    counters = {name: (int(getattr(model.io, name)) - count) % 2**COUNTER_BITS for name, count in before.items()}
    return BusCycles(run.cycles, counters, 0)
