"""The UART against itself, and against a line whose rate is a little off."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from amaranth.sim import Simulator

from fpga.baud import divisor
from fpga.gateware.uart import Uart
from golden.errors import GossetError
from hw.generate import generate
from sim.rtl.model import Model


class Loop(wiring.Component):
    """What it sends is what it receives."""

    def __init__(self, divisor):
        self.uart = Uart(divisor)
        members = self.uart.signature.members
        super().__init__({"i": members["i"], "o": members["o"]})

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = self.uart
        connect(m, flipped(self.i), self.uart.i)
        connect(m, self.uart.o, flipped(self.o))
        m.d.comb += self.uart.rx_pin.eq(self.uart.tx_pin)
        return m


@pytest.mark.parametrize("cycles", [4, 7])
def test_every_byte_comes_back(cycles, tmp_path):
    sent = np.random.default_rng(0).permutation(np.repeat(np.arange(256, dtype=np.uint32), 4))[:, None]
    with Model(generate(Loop(cycles), f"loop_{cycles}").write(tmp_path)) as model:
        model.reset()
        run = model.run({"i": sent}, {"o": len(sent)}, stalls={"i": 0.5})
        assert np.array_equal(run.outputs["o"], sent)
        # Ten bits a byte, and one cycle between them to take the next one.
        full = model.run({"i": sent}, {"o": len(sent)})
        assert full.cycles == pytest.approx(len(sent) * (10 * cycles + 1), abs=10 * cycles)


def received(cycles, bits):
    """What a UART makes of a line: a list of (level, cycles)."""
    uart, bytes_ = Uart(cycles), []

    async def drive(ctx):
        for level, length in bits:
            ctx.set(uart.rx_pin, level)
            await ctx.tick().repeat(length)

    async def listen(ctx):
        async for _, _, valid, byte in ctx.tick().sample(uart.o.valid, uart.o.payload):
            if valid:
                bytes_.append(byte)

    simulator = Simulator(uart)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(listen, background=True)
    simulator.run()
    return bytes_


def line(bytes_, cycles):
    """The levels of bytes back to back, at so many cycles a bit, which need not be whole."""
    levels = [1] * 3 + [level for byte in bytes_ for level in [0, *((byte >> i) & 1 for i in range(8)), 1]] + [1] * 12
    edges = np.rint(np.arange(len(levels) + 1) * cycles).astype(int)
    return list(zip(levels, np.diff(edges).tolist(), strict=True))


@pytest.mark.parametrize("deviation", [-0.03, -0.01, 0, 0.01, 0.03])
def test_the_other_end_may_be_off(deviation):
    sent = [0x55, 0x00, 0xFF, 0x80, 0x01, 0xA7]
    assert received(16, line(sent, 16 * (1 + deviation))) == sent


def test_a_glitch_and_a_break_are_no_bytes():
    assert received(16, [(1, 40), (0, 3), (1, 200), *line([0x42], 16)]) == [0x42]
    assert received(16, [(1, 40), (0, 16 * 11), (1, 300), *line([0x42], 16)])[-1:] == [0x42]


def test_a_rate_that_no_divisor_makes_is_refused():
    assert divisor(48e6, 3_000_000) == 16
    with pytest.raises(GossetError, match="cannot make 3000000 baud"):
        divisor(25e6, 3_000_000)
    with pytest.raises(GossetError, match="at least 4"):
        divisor(6e6, 3_000_000)
