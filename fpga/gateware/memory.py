"""The board's memory: operands and results of jobs, as the host has laid them out."""

from amaranth import ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from fpga.memory import SPRAM_BITS, SPRAM_WORDS, MemoryShape
from hw.values import register, unreset


class BoardMemory(wiring.Component):
    """A memory with a port to write and one to read, both with registers: its blocks lie all over the chip.

    Parameters
    ----------
    shape : MemoryShape

    Members
    -------
    write, write_address, write_data : In
    read_address : In; read_data : Out
        `LATENCY` cycles after the address. SPRAM reads nothing in a cycle in which it is written.

    A reset does nothing: what was about to be written is.
    """

    LATENCY = 3

    def __init__(self, shape: MemoryShape):
        self.shape = shape
        super().__init__(
            {
                "write": In(1),
                "write_address": In(shape.address_bits),
                "write_data": In(shape.bits),
                "read_address": In(shape.address_bits),
                "read_data": Out(shape.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A block memory, or SPRAM where the platform has it, between registers."""
        m = Module()
        word = Signal(self.shape.bits)
        read_data = unreset(m, self.read_data)
        m.d.sync += read_data.eq(word)
        if self.shape.spram and getattr(platform, "device", None) == "iCE40UP5K":
            self._spram(m, word)
            return m
        m.submodules.words = block = memory.Memory(shape=self.shape.bits, depth=self.shape.words, init=[])
        write, read = block.write_port(), block.read_port()
        m.d.comb += [
            write.en.eq(register(m, "write", self.write)),
            write.addr.eq(register(m, "write_address", self.write_address)),
            write.data.eq(register(m, "write_data", self.write_data)),
            read.addr.eq(register(m, "read_address", self.read_address)),
            word.eq(read.data),
        ]
        return m

    def _spram(self, m: Module, word: Signal) -> None:
        low, inside = SPRAM_WORDS, ceil_log2(SPRAM_WORDS)
        write = register(m, "write", self.write)
        data = register(m, "data", self.write_data)
        address = register(m, "address", Mux(self.write, self.write_address, self.read_address))
        chosen = Signal(len(address) - inside, reset_less=True)
        m.d.sync += chosen.eq(address[inside:])
        for i in range(self.shape.words // low):
            out = Signal(SPRAM_BITS, name=f"out_{i}")
            m.submodules[f"spram_{i}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=address[:inside],
                i_DATAIN=data,
                i_MASKWREN=Const(0xF, 4),
                i_WREN=write,
                i_CHIPSELECT=address[inside:] == i,
                i_STANDBY=Const(0, 1),
                i_SLEEP=Const(0, 1),
                i_POWEROFF=Const(1, 1),
                o_DATAOUT=out,
            )
            with m.If(chosen == i):
                m.d.comb += word.eq(out)
