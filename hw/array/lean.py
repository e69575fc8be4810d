"""The lean cell: one register per operand, which is also the way to the next cell; one sum; the way out.

An array of such cells runs like `hw.array.cell.Cell`'s: the same tokens, the same way out, one block per cycle. What is
added is a parameter, so that rivals have the same cell (`hw.rivals`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from hw.array.cell import TOKEN, result
from hw.array.heap import Heap
from hw.array.operands import Form
from hw.values import register


@dataclass(frozen=True)
class Arithmetic(ABC):
    """What a cell computes: what it takes of a row and of a column, and what it adds to its accumulator.

    With `carry_save` the accumulator is two numbers: then no carry runs through it in the loop. Source: OPT1 of arXiv
    2503.06342.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Tells it apart in the names of modules."""

    @property
    @abstractmethod
    def x(self) -> StructLayout:
        """What it takes of a row."""

    @property
    @abstractmethod
    def w(self) -> StructLayout:
        """What it takes of a column."""

    @property
    @abstractmethod
    def acc_bits(self) -> int:
        """Bits of the accumulator, signed."""

    @property
    def carry_save(self) -> bool:
        """Whether the accumulator is kept as two numbers, which are added up on the way out."""
        return False

    @property
    def stages(self) -> int:
        """Registers within the product, which `add` has: they stop the glitches of what is before them."""
        return 0

    @abstractmethod
    def add(self, heap: Heap, x: View, w: View) -> None:
        """Adds what two blocks make to a heap."""


class DotCell(wiring.Component):
    """An output-stationary cell of any arithmetic: one block product per cycle into one accumulator.

    `depth` cycles after a block with token.last came in, the accumulator is copied to `o` and starts again. In a cycle
    with `shift`, `o` takes what the cell above holds if that belongs to tile number `tile` (modulo 2).

    Parameters
    ----------
    arithmetic : Arithmetic

    Members
    -------
    x, token : In; x_next, token_next : Out
        Operand and token of the row, and the same one cycle later.
    w : In; w_next : Out
        Operand of the column, and the same one cycle later.
    shift, tile : In(1)
        Whether results move down, and of which tile.
    above : In(result); o : Out(result)
        What the cell above holds, and what this one does.

    Attributes
    ----------
    depth : int
        Cycles from an operand at the input to the accumulator that has it.
    """

    form: Form = "block"

    def __init__(self, arithmetic: Arithmetic):
        self.depth = 1 + arithmetic.stages
        self.arithmetic, self.unit = arithmetic, f"lean_cell_{arithmetic.name}"
        out = result(arithmetic.acc_bits)
        super().__init__(
            {
                "x": In(arithmetic.x),
                "x_next": Out(arithmetic.x),
                "token": In(TOKEN),
                "token_next": Out(TOKEN),
                "w": In(arithmetic.w),
                "w_next": Out(arithmetic.w),
                "shift": In(1),
                "tile": In(1),
                "above": In(out),
                "o": Out(out),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The registers; the sum; the way out."""
        m = Module()
        arithmetic = self.arithmetic
        token = View(TOKEN, register(m, "token", self.token.as_value(), reset_less=False))
        x = View(arithmetic.x, register(m, "x_held", self.x.as_value()))
        w = View(arithmetic.w, register(m, "w_held", self.w.as_value()))
        m.d.comb += [
            self.x_next.as_value().eq(x.as_value()),
            self.w_next.as_value().eq(w.as_value()),
            self.token_next.as_value().eq(token.as_value()),
        ]

        at_sum = register(m, "token_at_sum", token.as_value(), cycles=arithmetic.stages, reset_less=False)
        token = View(TOKEN, at_sum)
        heap = Heap(m, arithmetic.acc_bits)
        arithmetic.add(heap, x, w)
        fresh = Signal(init=1)
        # The first block of a tile adds to zero: the accumulators need no reset of their own.
        accs = [Signal(arithmetic.acc_bits, name=f"acc_{i}", reset_less=True) for i in range(1 + arithmetic.carry_save)]
        for acc in accs:
            heap.add(acc & ~fresh.replicate(arithmetic.acc_bits))
        rows: tuple[Value, ...] = heap.rows()
        if not arithmetic.carry_save:
            rows = ((rows[0] + rows[1])[: arithmetic.acc_bits],)
        total = sum(rows[1:], rows[0])[: arithmetic.acc_bits].as_signed()
        parity = Signal()
        with m.If(token.valid):
            m.d.sync += [fresh.eq(token.last), *(acc.eq(row) for acc, row in zip(accs, rows, strict=True))]
        out = Signal.like(self.o.as_value(), reset_less=True)
        m.d.comb += self.o.as_value().eq(out)
        with m.If(token.valid & token.last):
            m.d.sync += [View(self.o.shape(), out).acc.eq(total), View(self.o.shape(), out).tile.eq(parity)]
            m.d.sync += parity.eq(~parity)
        with m.Elif(self.shift & (self.above.tile == self.tile)):
            m.d.sync += out.eq(self.above.as_value())
        return m
