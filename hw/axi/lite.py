"""A register map behind AXI4-Lite."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi.ports import OKAY, SLVERR, lite
from hw.registers import Register, RegisterMap
from hw.values import unreset

GROUP = 8
"""Registers of which one is chosen in a cycle."""


class Registers(wiring.Component):
    """The registers of a map, read and written through AXI4-Lite.

    Write address and write data may come in either order; there is one write and one read under way at most. The two
    low bits of an address are not looked at. The reply is SLVERR where there is no register, and for a write where no
    field can be written. A write is answered a cycle after what it does, so that what a register made of it, such as an
    interrupt, is to be seen with the answer.

    Parameters
    ----------
    map : RegisterMap
    idle : bool
        Whether it says that it is idle.

    Members
    -------
    s_axi_ctrl : In(AXI4-Lite)
    <field> : In for a field of access RO that is not constant, Out for the others
        Named by `Field.member`. What is written to a field of access WO is there for one cycle.
    <field>_set : In
        Sets the bits of a field of access W1C; it wins over a write that clears them.
    idle : Out(1), if asked for
        No access is under way, and none begins.
    """

    def __init__(self, map: RegisterMap, *, idle: bool = False):
        self.map, self._tells = map, idle
        members: dict[str, wiring.Member] = {"s_axi_ctrl": In(lite(map.address_bits))}
        for register in map.registers:
            for field in register.fields:
                name = field.member(register)
                if field.value is None:
                    members[name] = In(field.bits) if field.access == "RO" else Out(field.bits, init=field.reset)
                if field.access == "W1C":
                    members[f"{name}_set"] = In(field.bits)
        if idle:
            members["idle"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """The write side, the read side, and what a write does to each kind of field."""
        m = Module()
        axi = self.s_axi_ctrl

        # Address and data wait for each other.
        address = Signal.like(axi.awaddr, reset_less=True)
        data = Signal(32, reset_less=True)
        strobe = Signal(4, reset_less=True)
        has_address = Signal()
        has_data = Signal()
        m.d.comb += [axi.awready.eq(~has_address), axi.wready.eq(~has_data)]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [address.eq(axi.awaddr), has_address.eq(1)]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += [data.eq(axi.wdata), strobe.eq(axi.wstrb), has_data.eq(1)]
        # Which register it is, is known a cycle later.
        decoded = Signal()
        write = Signal()
        written = Signal()
        reply = Signal(2)
        m.d.comb += write.eq(decoded & has_data & ~written & ~axi.bvalid)
        m.d.sync += [decoded.eq(has_address & ~write), written.eq(write)]
        with m.If(axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [has_address.eq(0), has_data.eq(0), reply.eq(SLVERR)]
        with m.If(written):
            m.d.sync += [axi.bvalid.eq(1), axi.bresp.eq(reply)]

        mask = Signal(32)
        m.d.comb += mask.eq(Cat(bit.replicate(8) for bit in strobe))
        for register in self.map.registers:
            here = Signal(name=f"at_{register.name}", reset_less=True)
            hit = Signal(name=f"write_{register.name}")
            m.d.sync += here.eq(address[2:] == register.offset // 4)
            m.d.comb += hit.eq(write & here)
            if register.writable:
                with m.If(hit):
                    m.d.sync += reply.eq(OKAY)
            for field in register.fields:
                if field.value is None and field.access != "RO":
                    span = slice(field.low, field.low + field.bits)
                    self._write(m, field.member(register), field.access, hit, data[span], mask[span])

        # Reads.
        read, answered = unreset(m, axi.rdata), unreset(m, axi.rresp)
        wanted = Signal.like(axi.araddr, reset_less=True)
        has_wanted = Signal()
        m.d.comb += axi.arready.eq(~has_wanted)
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [wanted.eq(axi.araddr), has_wanted.eq(1)]
        with m.If(axi.rready):
            m.d.sync += axi.rvalid.eq(0)
        # There are many registers: one of each group is chosen first, and one of the groups a cycle later.
        looked = Signal()
        m.d.sync += looked.eq(has_wanted)
        groups: dict[int, dict[int, Register]] = {}
        for register in self.map.registers:
            group, place = divmod(register.offset // 4, GROUP)
            groups.setdefault(group, {})[place] = register
        entry = StructLayout({"data": 32, "there": 1})
        chosen = {group: Signal(entry, name=f"group_{group}", reset_less=True) for group in groups}
        inside = exact_log2(GROUP)
        for group, registers in groups.items():
            m.d.sync += chosen[group].as_value().eq(0)
            with m.Switch(wanted[2:][:inside]):
                for place, register in registers.items():
                    with m.Case(place):
                        m.d.sync += [chosen[group].data.eq(self._word(register)), chosen[group].there.eq(1)]
        with m.If(~axi.rvalid):  # taken along whether it is on offer or not
            m.d.sync += [answered.eq(SLVERR), read.eq(0)]
            with m.Switch(wanted[2:][inside:]):
                for group, found in chosen.items():
                    with m.Case(group):
                        m.d.sync += [answered.eq(Mux(found.there, OKAY, SLVERR)), read.eq(found.data)]
            with m.If(looked & has_wanted):
                m.d.sync += [has_wanted.eq(0), axi.rvalid.eq(1)]
        if self._tells:
            begins = Cat(axi.awvalid, axi.wvalid, axi.arvalid)
            m.d.comb += self.idle.eq(
                ~Cat(begins, has_address, has_data, decoded, written, axi.bvalid, has_wanted, looked, axi.rvalid).any()
            )
        return m

    def _write(self, m: Module, name: str, access: str, hit: Value, data: Value, mask: Value) -> None:
        held, chosen = getattr(self, name), Mux(hit, mask, 0)
        if access == "RW":
            m.d.sync += held.eq((held & ~chosen) | (data & chosen))
        elif access == "WO":
            m.d.sync += held.eq(data & chosen)
        else:
            m.d.sync += held.eq((held & ~(data & chosen)) | getattr(self, f"{name}_set"))

    def _word(self, register: Register) -> Value:
        """What a read of a register returns."""
        word = Value.cast(0)
        for field in register.fields:
            if field.access != "WO":
                value = getattr(self, field.member(register)) if field.value is None else Value.cast(field.value)
                word |= value << field.low
        return word
