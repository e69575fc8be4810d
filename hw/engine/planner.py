"""The planner: is a job legal, and how many words and tiles is it?"""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.design import DesignPoint
from hw.engine.rows import longest_row, raw_job, step_blocks

FIELD_BITS = 16
"""Bits of a number that describes a job."""

ERRORS = ("empty", "too_many_rows", "x_too_long", "w_too_long", "activations")
"""Why a job is refused: it has no rows, tiles or steps; more rows than `panel_rows`; more words of activations than
`x_depth`; more words of weights per tile than `w_depth` (output-stationary); activations that the design cannot take.
"""

RAW_ERROR = "raw_rows"
"""Why a raw job is refused beside: the front end takes no rows of so many steps. They would have more blocks than it
can measure, or no whole number of segments."""


KEPT_ERROR = "kept_rows"
"""Why a job that adds or keeps is refused beside: its rows times tiles are fewer than `LEAST_KEPT`, or more than are
kept, rows of an output-stationary array counted in whole row tiles."""


def errors(design: DesignPoint) -> tuple[str, ...]:
    """Why jobs are refused: `ERRORS`; `RAW_ERROR` of a design with a front end; `KEPT_ERROR` of one that keeps rows."""
    raw, kept = (RAW_ERROR,) if design.front_end else (), (KEPT_ERROR,) if design.keep_rows else ()
    return (*ERRORS, *raw, *kept)


KINDS = {"int8": 1, "raw": 1}
"""Fields of a job that say what its activations are: int8; or raw rows, from the front end; or else packed."""

SUMS = {"add": 1, "keep": 1}
"""Fields of a job of a design that keeps rows: its accumulators are added to those that were kept; they are kept, and
do not come out."""


OUT = {"out": 1}
"""Field of a job of a design that writes codes: its rows, which are raw, go to memory, and nothing is multiplied."""


def modes(design: DesignPoint) -> dict[str, int]:
    """Fields of a job of one bit each: `KINDS`, `SUMS` of a design that keeps rows, `OUT` of one that writes codes."""
    return KINDS | (SUMS if design.keep_rows else {}) | (OUT if design.codes else {})


def job(design: DesignPoint, tag_bits: int = 0) -> data.StructLayout:
    """A job as it is given: acc[rows, tiles·cols].

    `rows` of activations; `tiles` of `cols` columns each; `steps`, the words per row of activations, which are blocks
    (output-stationary) or slices of `rows` blocks (weight-stationary), counted once for int8; the kind of the
    activations and what becomes of the accumulators, see `modes`; and a `tag` that goes through unchanged.
    """
    fields: dict[str, ShapeLike] = {"rows": FIELD_BITS, "tiles": FIELD_BITS, "steps": FIELD_BITS, **modes(design)}
    return data.StructLayout(fields | ({"tag": tag_bits} if tag_bits else {}))


def plan(design: DesignPoint, tag_bits: int = 0) -> data.StructLayout:
    """A legal job, with what follows from it.

    `x_words`, all words of activations, as they come; `w_words`, the words of weights of each tile; `row_tiles`, how
    many tiles of rows there are, and `tail`, the rows of the last one (weight-stationary: each row is one). With a
    front end `most` and `enough`, see `raw_job`.
    """
    fields: dict[str, ShapeLike] = {
        "rows": range(design.panel_rows + 1),
        "tiles": FIELD_BITS,
        "steps": range(design.x_depth + 1),
        **modes(design),
        "row_tiles": range(design.panel_rows + 1),
        "tail": range(design.rows + 1),
        "x_words": range(design.x_depth + 1),
        "w_words": range(design.x_depth * design.rows + 1),
    }
    if design.front_end:
        fields |= {name: shape for name, shape in raw_job(design).members.items() if name not in fields}
    return data.StructLayout(fields | ({"tag": tag_bits} if tag_bits else {}))


class Planner(wiring.Component):
    """Checks jobs and plans them, one at a time; a job takes as many cycles as it has row tiles (output-stationary) or
    rows (weight-stationary), and `OVERHEAD`.

    Parameters
    ----------
    design : DesignPoint
    tag_bits : int
        Bits of the tag of a job.

    Members
    -------
    i : In(stream of jobs)
    o : Out(stream of plans)
        Of legal jobs only.
    errors : Out
        For each of `errors`, a pulse of one cycle after a job was dropped.
    """

    OVERHEAD = 2
    """Cycles from one job to the next, beside those of counting."""

    def __init__(self, design: DesignPoint, tag_bits: int = 0):
        self.design, self._tag_bits = design, tag_bits
        super().__init__(
            {
                "i": In(stream.Signature(job(design, tag_bits))),
                "o": Out(stream.Signature(plan(design, tag_bits))),
                "errors": Out(len(errors(design))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Take; count; hand over."""
        m = Module()
        design, given, found = self.design, self.i.payload, self.o.payload
        output_stationary = design.dataflow == "os"

        # What is asked of a job is asked of the register that holds it, for whoever gives it may be slow; the answer is
        # in a register too.
        held = Signal(job(design, self._tag_bits), reset_less=True)
        bad = {
            "empty": (held.rows == 0) | (held.tiles == 0) | (held.steps == 0),
            "too_many_rows": held.rows > design.panel_rows,
            "x_too_long": held.steps > design.x_depth,
            "activations": (held.int8 & (held.raw | (not design.int8)))
            | (held.raw & (design.front_end is None))
            | (~held.int8 & ~held.raw & (not design.packed)),
        }
        if design.codes:
            bad["activations"] |= held.out & (~held.raw | ((held.add | held.keep) if design.keep_rows else 0))
        if output_stationary:
            bad["w_too_long"] = held.steps > design.w_depth
        if design.keep_rows:
            few = ~(held.rows[2:].any() | held.tiles[2:].any() | (held.rows[1:].any() & held.tiles[1:].any()))
            bad[KEPT_ERROR] = (held.add | held.keep) & few
        reasons = errors(design)
        refused = Signal(len(reasons), reset_less=True)
        refusing = Signal(reset_less=True)
        answered = Signal()
        dropped = Signal(len(reasons))
        m.d.sync += [
            refused.eq(Cat(bad.get(name, 0) for name in reasons)),
            refusing.eq(Cat(*bad.values()).any()),
            self.errors.eq(dropped),
        ]

        beats = Signal(range(2 * design.x_depth + 1), reset_less=True)  # words of a row tile
        # By how many words the job is too long, less one: what counts is the sign.
        over = Signal(range(-design.x_depth - 1, 2 * design.x_depth), reset_less=True)
        words = Signal(found.x_words.shape(), reset_less=True)
        left = Signal(range(design.panel_rows + 1), reset_less=True)
        tail = Signal(found.tail.shape(), reset_less=True)
        row_tiles = Signal(found.row_tiles.shape(), reset_less=True)
        too_long = Signal()
        tile = design.rows if output_stationary else 1
        m.d.comb += [
            too_long.eq(~over[-1]),
            found.x_words.eq(words),
            found.w_words.eq(found.steps * (1 if output_stationary else design.rows)),
            found.row_tiles.eq(row_tiles),
            found.tail.eq(tail),
        ]
        for name in ("rows", "tiles", "steps", *modes(design), *(["tag"] if self._tag_bits else [])):
            m.d.comb += found[name].eq(held[name])

        unfit = Signal()
        if design.front_end:
            self._raw(m, held, unfit)

        too_many: Value = Const(0, 1)
        if design.keep_rows:
            # By how many the row tiles times tiles are more than are kept, less one.
            most = design.keep_rows // tile
            over_kept = Signal(range(-most - 1, 2 << FIELD_BITS), reset_less=True)
            too_many = (held.add | held.keep) & ~over_kept[-1]

        def refuse() -> None:
            """What was counted up to the cycle before may be too much; what is wrong with the job itself is told of
            alone."""
            with m.If(too_long):
                m.d.comb += dropped[reasons.index("x_too_long")].eq(1)
                m.next = "take"
            if design.keep_rows:
                with m.If(too_many):
                    m.d.comb += dropped[reasons.index(KEPT_ERROR)].eq(1)
                    m.next = "take"
            with m.If(answered & refusing):
                m.d.comb += dropped.eq(refused)
                m.next = "take"

        with m.FSM():
            with m.State("take"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [held.eq(given), answered.eq(0), beats.eq(Mux(given.int8, given.steps << 1, given.steps))]
                m.d.sync += [over.eq(-design.x_depth - 1), words.eq(0), row_tiles.eq(0), left.eq(given.rows)]
                if design.keep_rows:
                    m.d.sync += over_kept.eq(-most - 1)
                with m.If(self.i.valid):
                    m.next = "count"
            with m.State("count"):
                m.d.sync += [over.eq(over + beats), words.eq(words + beats), row_tiles.eq(row_tiles + 1)]
                m.d.sync += [tail.eq(left), left.eq(left - tile)]
                if design.keep_rows:
                    m.d.sync += over_kept.eq(over_kept + held.tiles)
                m.d.sync += answered.eq(1)
                with m.If(left <= tile if design.panel_rows > tile else Const(1)):
                    m.next = "hand over"
                refuse()
            with m.State("hand over"):
                fits = ~too_long & ~unfit & ~refusing
                m.d.comb += self.o.valid.eq(fits & ~too_many if design.keep_rows else fits)
                with m.If(self.o.ready):
                    m.next = "take"
                if design.front_end:
                    with m.If(unfit & ~too_long):
                        m.d.comb += dropped[reasons.index(RAW_ERROR)].eq(1)
                        m.next = "take"
                refuse()
        return m

    def _raw(self, m: Module, held: data.View, unfit: Signal) -> None:
        """What a raw job asks of its rows, and whether no row can be so, from the registers that hold the job: all of
        it is in registers when the job is handed over."""
        design, found = self.design, self.o.payload
        assert design.front_end is not None
        segment, each, longest = design.front_end.segment_blocks, step_blocks(design), longest_row(design.front_end)
        blocks = Signal(found.w_words.shape(), name="row_blocks")  # up to the end of the last step
        whole = Signal.like(blocks)
        m.d.comb += [blocks.eq(held.steps * each), whole.eq(blocks & -segment)]
        most: Value = whole
        too_long: Value = Const(0, 1)
        if longest is not None:
            most = Mux(whole > longest, longest, whole)
            too_long = held.steps > -(-longest // each)
        # The last step has blocks, of which one ends a segment.
        between = (blocks & (segment - 1)) >= each if segment > each else Const(0, 1)
        m.d.sync += [unfit.eq(held.raw & (too_long | between)), found.most.eq(most), found.enough.eq(blocks - each + 1)]
