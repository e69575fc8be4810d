"""Accumulators that stay on chip from job to job."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.array.edges import row
from hw.design import ACC_BITS, KEEPING, LEAST_KEPT, DesignPoint
from hw.values import register, unreset


def kept_row(design: DesignPoint) -> data.StructLayout:
    """A row of accumulators that comes out; of a design that keeps rows with `kept`: it is none, and only says that a
    job has ended whose rows are kept."""
    fields = row(design).members | ({"kept": 1} if design.keep_rows else {})
    return data.StructLayout(fields)


class Keeper(wiring.Component):
    """Adds rows of accumulators to those that were kept, and keeps them, as their job says.

    The rows of a job are numbered from 0 on, as they come: what a row is added to is the row of its number that was
    kept last. A number comes again after `LEAST_KEPT` rows at the earliest, when what was kept is in its place. A row
    takes `KEEPING` cycles.

    Parameters
    ----------
    design : DesignPoint
        With `keep_rows`.

    Members
    -------
    add, keep : In(1)
        Of the row that comes in.
    i : In(stream of rows, always ready)
    o : Out(stream of rows with `kept`, always ready)
        Those that are not kept; and for a job that keeps, one that is none at its end.
    given_back : Out(1)
        A row was kept that is not its job's last: nothing comes out for it.
    """

    def __init__(self, design: DesignPoint):
        assert KEEPING < LEAST_KEPT
        self.design = design
        super().__init__(
            {
                "add": In(1),
                "keep": In(1),
                "i": In(stream.Signature(row(design), always_ready=True)),
                "o": Out(stream.Signature(kept_row(design), always_ready=True)),
                "given_back": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A row's number; what was kept, in a register; the sum, in another one; its place."""
        m = Module()
        cols, given = self.design.cols, self.i.payload
        index = Signal(range(self.design.keep_rows))
        with m.If(self.i.valid):
            m.d.sync += index.eq(Mux(given.end, 0, index + 1))

        m.submodules.memory = memory = Memory(shape=ACC_BITS * cols, depth=self.design.keep_rows, init=[])
        read, write = memory.read_port(), memory.write_port()
        flags = Cat(given.last, given.end, self.add, self.keep, index)
        late = register(m, "values", given.values.as_value(), cycles=2)
        last, end, add, keep, place = _split(register(m, "flags", flags, cycles=2), len(index))
        written = Signal(range(self.design.keep_rows), reset_less=True)
        before = Signal(ACC_BITS * cols, reset_less=True)
        m.d.comb += [read.addr.eq(index), read.en.eq(self.i.valid & self.add)]
        m.d.sync += before.eq(read.data)
        valid = register(m, "valid", self.i.valid, cycles=2, reset_less=False)

        out = self.o.payload
        done = Signal()
        kept = Signal(reset_less=True)
        out_last, out_end = unreset(m, out.last, "out_last"), unreset(m, out.end, "out_end")
        m.d.sync += [done.eq(valid), kept.eq(keep), out_last.eq(last), out_end.eq(end), written.eq(place)]
        for c in range(cols):
            value, held = (word[ACC_BITS * c : ACC_BITS * (c + 1)].as_signed() for word in (late, before))
            total = Signal(signed(ACC_BITS), name=f"total_{c}", reset_less=True)
            m.d.sync += total.eq(value + Mux(add, held, 0))
            m.d.comb += out.values[c].eq(total)
        m.d.comb += [
            write.addr.eq(written),
            write.data.eq(out.values.as_value()),
            write.en.eq(done & kept),
            out.kept.eq(kept),
            self.o.valid.eq(done & (~kept | out.end)),
            self.given_back.eq(done & kept & ~out.end),
        ]
        return m


def _split(flags: Value, index_bits: int) -> tuple[Value, ...]:
    """The four flags, and the number of the row."""
    return *flags[:4], flags[4 : 4 + index_bits]
