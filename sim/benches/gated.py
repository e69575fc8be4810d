"""A memory port under a clock that stands still whenever the port says that it may."""

from amaranth import Cat, EnableInserter, Module, Signal
from amaranth.back import rtlil
from amaranth.lib import wiring

from hw.axi.memory import AxiMemoryTop
from hw.axi.ports import AxiPorts, forward
from hw.design import DesignPoint
from hw.generate import Generated, generate_axi
from hw.units import rtlil_to_verilog


class Gated(wiring.Component):
    """The memory port of a design with `idle`. Its clock goes while it is not idle or an access begins.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    Those of `AxiMemoryTop`.
    """

    def __init__(self, design: DesignPoint):
        self.top = AxiMemoryTop(design)
        members = dict(self.top.signature.members.items())
        self.ports = [name for name, member in members.items() if member.is_port]
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """An enable of all registers is what a clock gate is, but for resets: these come through."""
        m = Module()
        control, runs = self.s_axi_ctrl, Signal()
        m.d.comb += runs.eq(~self.top.idle | Cat(control.awvalid, control.wvalid, control.arvalid).any())
        m.submodules.top = EnableInserter(dict.fromkeys(("sync", "core", "accelerator"), runs))(self.top)
        wiring.connect(m, wiring.flipped(control), self.top.s_axi_ctrl)
        forward(m, self.m_axi_mem, self.top.m_axi_mem)
        m.d.comb += [getattr(self, name).eq(getattr(self.top, name)) for name in self.ports]
        return m


def generate_gated(design: DesignPoint) -> Generated:
    """What `hw.generate.generate_axi` makes of a memory port, with Verilog of the gated one instead of its own."""
    generated = generate_axi(design, "axi")
    top = generated.description["top"]
    # Without a library, so that the enable reaches all units.
    verilog = rtlil_to_verilog(rtlil.convert(AxiPorts(Gated(design)), name=top, emit_src=False), top)
    return Generated(verilog, generated.description, generated.files)
