"""The output stage: rows of accumulators in, results out. Its rules are `golden.output`'s."""

from collections.abc import Callable
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.output import (
    BIAS_BITS,
    COLUMN_BITS,
    MANTISSA_BITS,
    ROW_BITS,
    SHIFT_BITS,
    SIGNIFICAND_BITS,
    OutputRules,
)
from hw.design import ACC_BITS, DesignPoint
from hw.engine.keeper import kept_row

COLUMN = data.StructLayout(
    {"bias": signed(BIAS_BITS), "mantissa": MANTISSA_BITS, "shift": SHIFT_BITS, "relu": 1}
    | {"zeros": COLUMN_BITS - BIAS_BITS - MANTISSA_BITS - SHIFT_BITS - 1}
)
"""A word of a column."""

ROW = data.StructLayout(
    {"mantissa": MANTISSA_BITS, "shift": SHIFT_BITS, "zeros": ROW_BITS - MANTISSA_BITS - SHIFT_BITS}
)
"""A word of a row."""

SUMMING = MANTISSA_BITS.bit_length() - 1
"""Cycles that a product takes: two bits of the mantissa at a time, then an addition for each doubling."""

ROUNDING = 3
"""Cycles from a product to where all that is left of rounding and clipping is an addition."""

SCALING = SUMMING + ROUNDING + 1
"""Cycles that scales of rows take."""

COARSE = 3
"""Bits of a shift that are left for the second one."""

MOST_LENGTH = BIAS_BITS + MANTISSA_BITS
"""Bits of the magnitude of a product, at most."""

EXPONENT_BIAS = 127
"""What is added to an exponent of bfloat16."""


Staged = Callable[[str, Any], Any]
"""What gives a value, by a name, a stage later."""


def stages(rules: OutputRules) -> int:
    """Cycles from an accumulator to its result."""
    return (12 if rules.floating else 10) + (SCALING if rules.row_scales else 0)


def result_word(design: DesignPoint) -> data.StructLayout:
    """A result; `end` marks the last one of a job. With `kept` it is none, and says that a job has ended whose rows
    are kept. Of designs with strides, `last` marks the last one of a tile, and `stop` that of a row."""
    assert design.output is not None
    kept, strides = ("kept",) if design.keep_rows else (), ("last", "stop") if design.strides else ()
    ends = ("end", *kept, *strides)
    return data.StructLayout({"values": design.output.bits} | dict.fromkeys(ends, 1))


class OutputStage(wiring.Component):
    """Turns accumulators into results, one column a cycle; see `golden.output`.

    A row is taken with its last column. The columns' words come tile by tile, and are kept for all rows of the tile;
    those of rows come with a job's first tile, and are kept for all of them.

    Parameters
    ----------
    design : DesignPoint
        With an `output`.

    Members
    -------
    i : In(stream of rows, with `kept` of designs that keep any)
    columns : In(stream of column words)
        So many for each tile of a job whose rows come out.
    scales : In(stream of row words), of designs whose rows have scales
        One for each row of such a job.
    o : Out(stream of results)
    """

    def __init__(self, design: DesignPoint):
        assert design.output is not None
        self.design, self.rules = design, design.output
        super().__init__(
            {
                "i": In(stream.Signature(kept_row(design))),
                "columns": In(stream.Signature(COLUMN)),
                **({"scales": In(stream.Signature(ROW))} if self.rules.row_scales else {}),
                "o": Out(stream.Signature(result_word(design))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Taking; then the stages, which all move together."""
        m = Module()
        row, keeps = self.i.payload, bool(self.design.keep_rows)
        none = row.kept if keeps else Const(0, 1)

        at = Signal(range(self.design.cols))
        last_column = Signal()
        first = Signal(init=1)  # the row is the first of its tile
        there = Signal()
        moves = Signal()
        taken = Signal()  # with its last column
        scaled: Value = Const(1, 1)
        if self.rules.row_scales:
            scaled, scale = self._scale(m, taken)
        m.submodules.kept = kept = Memory(shape=COLUMN, depth=self.design.cols, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        column = Signal(COLUMN)
        m.d.comb += [
            last_column.eq(at == self.design.cols - 1),
            there.eq(self.i.valid & (none | (scaled & (~first | self.columns.valid)))),
            moves.eq(~self.o.valid | self.o.ready),
            self.columns.ready.eq(self.i.valid & ~none & scaled & first & moves),
            taken.eq(there & moves & ~none & last_column),
            self.i.ready.eq(there & moves & (last_column | none)),
            read.addr.eq(at),
            write.addr.eq(at),
            write.data.eq(self.columns.payload),
            write.en.eq(self.columns.ready & self.columns.valid),
            column.as_value().eq(Mux(first, self.columns.payload.as_value(), read.data.as_value())),
        ]
        with m.If(there & moves & ~none):
            m.d.sync += at.eq(Mux(last_column, 0, at + 1))
            with m.If(last_column):
                m.d.sync += first.eq(row.last)

        def staged(name: str, value: Any) -> Any:
            """What a value was a stage before."""
            held = Signal(value.shape(), name=name, reset_less=True)
            with m.If(moves):
                m.d.sync += held.eq(value)
            return held

        # What goes along: whether there is anything, which alone is reset; the ends; the column's word.
        ends: Any = Cat(row.end & last_column, none) if keeps else row.end & last_column
        if self.design.strides:
            ends = Cat(ends, row.last & last_column, last_column)
        valid, words = there, [column]
        for i in range(stages(self.rules)):
            held = Signal(name=f"valid_{i}")
            with m.If(moves):
                m.d.sync += held.eq(valid)
            valid, ends = held, staged(f"ends_{i}", ends)
            words.append(staged(f"column_{i}", words[-1]))

        accumulator = staged("accumulator", row.values[at])
        if self.rules.row_scales:
            scales = [scale]
            for i in range(SUMMING + 2):
                scales.append(staged(f"scale_{i}", scales[-1]))
            product = _product(staged, "row_", accumulator, scales[1].mantissa)
            shifts = (scales[SUMMING + 1].shift, scales[SUMMING + 2].shift)
            rounded, _ = _rounded(m, staged, "row_", product, shifts, ACC_BITS)
            accumulator, words = staged("scaled", rounded.as_signed()), words[SCALING:]
        total = staged("total", accumulator + words[1].bias)
        product = _product(staged, "", total, words[2].mantissa)
        finish = self._floating if self.rules.floating else self._integer
        m.d.comb += [
            self.o.valid.eq(valid),
            Cat(self.o.payload[name] for name in self.o.payload.shape().members if name != "values").eq(ends),
            self.o.payload.values.eq(staged("result", finish(m, product, words, staged))),
        ]
        return m

    def _scale(self, m: Module, taken: Signal) -> tuple[Value, Any]:
        """Whether the scale of the row at hand is there, and it: it comes with a job's first tile, and is kept then."""
        row = self.i.payload
        fresh = Signal(init=1)  # the row is of its job's first tile
        number = Signal(range(self.design.panel_rows))
        m.submodules.scales_kept = kept = Memory(shape=ROW, depth=self.design.panel_rows, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        scale = Signal(ROW)
        m.d.comb += [
            read.addr.eq(number),
            write.addr.eq(number),
            write.data.eq(self.scales.payload),
            write.en.eq(taken & fresh),
            self.scales.ready.eq(taken & fresh),
            scale.as_value().eq(Mux(fresh, self.scales.payload.as_value(), read.data.as_value())),
        ]
        with m.If(taken):
            m.d.sync += number.eq(Mux(row.last, 0, number + 1))
            with m.If(row.last):
                m.d.sync += fresh.eq(row.end)
        return ~fresh | self.scales.valid, scale

    def _integer(self, m: Module, product: Value, words: list[Any], staged: Staged) -> Value:
        """A product, which is there with the sixth word, rounded and clipped; a stage more is the caller's."""
        rounded, negative = _rounded(m, staged, "", product, (words[6].shift, words[7].shift), self.rules.bits)
        return Mux(negative & words[9].relu, 0, rounded)

    def _floating(self, m: Module, product: Value, words: list[Any], staged: Staged) -> Value:
        """The same in bfloat16: the magnitude, shifted up until its highest bit is 1, then an addition to round."""
        negative = staged("negative_6", product[-1])
        magnitude = staged("magnitude", Mux(product[-1], -product, product)[:MOST_LENGTH])
        # By how much it was shifted up, the highest bit first; two of these in a stage.
        moved: Any = Const(0, 0)
        steps = range((MOST_LENGTH - 1).bit_length())
        for k in reversed(steps):
            empty = ~magnitude[MOST_LENGTH - (1 << k) :].any()
            magnitude, moved = Mux(empty, magnitude << (1 << k), magnitude)[:MOST_LENGTH], Cat(empty, moved)
            if k % 2 == 0:
                magnitude, moved = staged(f"magnitude_{k}", magnitude), staged(f"moved_{k}", moved)
                negative = staged(f"negative_{k}", negative)
        exponent = EXPONENT_BIAS + MOST_LENGTH - 1 - moved - words[10].shift
        kept = magnitude[-SIGNIFICAND_BITS:]
        first, rest = magnitude[-SIGNIFICAND_BITS - 1], magnitude[: -SIGNIFICAND_BITS - 1].any()
        up = staged("up", first & (rest | kept[0]))
        # What is carried out of the fraction belongs to the exponent.
        number = staged("number", Cat(kept[:-1], exponent[: self.rules.bits - SIGNIFICAND_BITS]))
        nothing = staged("nothing", ~kept[-1] | (negative & words[10].relu))
        sign = staged("sign", negative)
        return Mux(nothing, 0, Cat((number + up)[: self.rules.bits - 1], sign))


def _product(staged: Staged, name: str, number: Value, mantissa: Value) -> Value:
    """A signed number times a mantissa that comes with it, `SUMMING` stages later: two bits of the mantissa at a time,
    then twice as many each time, an addition a stage."""
    shift = 2
    sums = [
        staged(f"{name}part_{k}", Mux(mantissa[2 * k], number, 0) + (Mux(mantissa[2 * k + 1], number, 0) << 1))
        for k in range(MANTISSA_BITS // 2)
    ]
    while len(sums) > 1:
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [staged(f"{name}sum_{len(sums)}_{k}", low + (high << shift)) for k, (low, high) in enumerate(pairs)]
        shift *= 2
    return sums[0][: len(number) + MANTISSA_BITS].as_signed()


def _rounded(
    m: Module, staged: Staged, name: str, product: Value, shifts: tuple[Value, Value], bits: int
) -> tuple[Value, Value]:
    """A product over 2^shift, rounded and clipped to so many bits, and whether it was negative before: `ROUNDING`
    stages later and an addition. The shift is given as it comes with the product, and a stage later."""
    # Twice the number and shifted, so that its lowest bit says how to round.
    coarse = staged(f"{name}coarse", Cat(0, product).as_signed() >> (shifts[0][COARSE:] << COARSE))
    fine = staged(f"{name}fine", coarse >> shifts[1][:COARSE])
    fits = fine[bits:].all() | ~fine[bits:].any()
    least_or_most = Cat((~fine[-1]).replicate(bits), fine[-1])
    clipped = staged(f"{name}clipped", Mux(fits, fine[: bits + 1], least_or_most).as_signed())
    rounded = Signal(signed(bits + 1), name=f"{name}rounded")
    m.d.comb += rounded.eq((clipped + 1) >> 1)
    # −1/2 and below are negative, rounded or not.
    return Mux(~rounded[-1] & rounded[bits - 1], (1 << (bits - 1)) - 1, rounded[:bits]), clipped[-1]
