"""The interrupt, as software sees it that has just cleared it."""

import pytest
from amaranth import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.sim import Simulator

from hw.axi.control import Control
from hw.design import DesignPoint
from hw.engine.planner import errors
from hw.generate import AXI_TOPS

DESIGN = DesignPoint(name="two", rows=2, cols=1, panel_rows=4, x_depth=16, w_depth=16)


@pytest.mark.parametrize("kind", AXI_TOPS)
@pytest.mark.parametrize(("register", "word"), [("irq_status", 1), ("irq_enable", 0)])
@pytest.mark.parametrize("late", [0, 3])
def test_it_is_gone_when_the_write_that_cleared_it_is_answered(kind, register, word, late):
    """Cleared, or disabled; with an answer that is taken at once, or has to wait."""
    top = AXI_TOPS[kind]
    registers = top.registers(DESIGN)
    control = Control(DESIGN, registers, errors(DESIGN), top.CORE.FATAL)
    m = Module()
    m.domains.core = ClockDomain("core")
    m.d.comb += [ClockSignal("core").eq(ClockSignal()), ResetSignal("core").eq(control.core_reset)]
    m.submodules.control = control
    bus, seen = control.s_axi_ctrl, []

    async def write(ctx, name, value):
        ctx.set(bus.awaddr, registers.offset(name))
        ctx.set(bus.wdata, value)
        ctx.set(bus.wstrb, 0xF)
        ctx.set(bus.awvalid, 1)
        ctx.set(bus.wvalid, 1)
        ctx.set(bus.bready, not late)
        await ctx.tick()
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        while not ctx.get(bus.bvalid):
            await ctx.tick()
        irq, reply = ctx.get(control.irq), ctx.get(bus.bresp)
        for _ in range(late):
            await ctx.tick()
        assert ctx.get(bus.bvalid) and ctx.get(bus.bresp) == reply == 0
        ctx.set(bus.bready, 1)
        await ctx.tick()
        assert not ctx.get(bus.bvalid)
        return irq

    async def bench(ctx):
        await write(ctx, "irq_enable", 1)
        ctx.set(control.done, 1)
        await ctx.tick()
        ctx.set(control.done, 0)
        await ctx.tick().repeat(2)
        seen.append(ctx.get(control.irq))
        seen.append(await write(ctx, register, word))
        for _ in range(8):
            await ctx.tick()
            seen.append(ctx.get(control.irq))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [1] + [0] * 9
