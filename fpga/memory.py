"""The board's memory: operands and results of jobs, as the host has laid them out."""

from dataclasses import dataclass

from amaranth import ClockSignal, Const, Instance, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from golden.errors import GossetError
from hw.values import register

SPRAM_BITS, SPRAM_WORDS = 16, 16384
"""Each of the four large memories of an iCE40 UP5K."""


@dataclass(frozen=True)
class MemoryShape:
    """What memory a board has for its accelerator.

    Parameters
    ----------
    bits : int
        Of a word: 8 to 512, a power of two.
    words : int
        A power of two.
    spram : bool
        In the large memories of an iCE40 UP5K, of which two, or four, make 16 bits a word. They read or write, not both
        in one cycle.

    Raises
    ------
    GossetError
        If there is no such memory.
    """

    bits: int
    words: int
    spram: bool = False

    def __post_init__(self) -> None:
        for name, value, least, most in (("bits", self.bits, 8, 512), ("words", self.words, 16, 1 << 24)):
            if not least <= value <= most or value & (value - 1):
                raise GossetError(f"{name} of a memory must be a power of two from {least} to {most}; got {value}.")
        if self.spram and (self.bits != SPRAM_BITS or self.words not in (2 * SPRAM_WORDS, 4 * SPRAM_WORDS)):
            raise GossetError(
                f"SPRAM has words of {SPRAM_BITS} bits, {2 * SPRAM_WORDS} or {4 * SPRAM_WORDS} of them; got "
                f"{self.words} of {self.bits}."
            )

    @property
    def address_bits(self) -> int:
        """Bits of an address of a word."""
        return ceil_log2(self.words)

    @property
    def bytes(self) -> int:
        """Bytes of a word."""
        return self.bits // 8

    def words_of(self, bits: int) -> int:
        """Words that something of so many bits takes."""
        return -(-bits // self.bits)


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
        m.d.sync += self.read_data.eq(word)
        if self.shape.spram and getattr(platform, "device", None) == "iCE40UP5K":
            self._spram(m, word)
            return m
        m.submodules.words = block = memory.Memory(shape=self.shape.bits, depth=self.shape.words, init=[])
        write, read = block.write_port(), block.read_port()
        m.d.sync += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
        ]
        m.d.comb += word.eq(read.data)
        return m

    def _spram(self, m: Module, word: Signal) -> None:
        low, inside = SPRAM_WORDS, ceil_log2(SPRAM_WORDS)
        write = register(m, "write", self.write, reset_less=False)
        data = register(m, "data", self.write_data)
        address = register(m, "address", Mux(self.write, self.write_address, self.read_address))
        chosen = Signal(len(address) - inside)
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
