"""The engine: planned jobs and their words in, rows of accumulators out.

Three parts follow the same queue of plans, each at its own pace: one fills the banks of the activations' memory, a bank
per job; one fills the banks of the weights' memory, a bank per tile (output-stationary), or the cells, a slice at a
time (weight-stationary); and the sequencer reads full banks and sends one beat a cycle into the array. A bank is read
when it is full and filled when the sequencer is through with it, so that the next job and the next weights load behind
the present ones.
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from hw.array import OutputStationaryArray, WeightStationaryArray, beat, row
from hw.array import latency as array_latency
from hw.banks import READING, banks, fill_by_block, w_word, x_word
from hw.decoder import Decoder
from hw.design import NIBBLE, DesignPoint
from hw.planner import FIELD_BITS, KINDS, plan
from hw.streams import delay, packed_block
from hw.units import place

COUNTERS = ("busy", "x_late", "w_late", "drain_blocked", "idle")
"""Every cycle counts under exactly one of these names: a beat went in; the job's activations were not all there; the
tile's or slice's weights were not; the beat had to wait for the way out; there was no job."""

COUNTER_BITS = 32


def latency(design: DesignPoint) -> int:
    """Cycles from the last beat of a tile to valid of its first row at `acc` (output-stationary), or from the beat that
    finishes a row to valid of the row (weight-stationary), the output queue being empty."""
    return READING + Decoder.LATENCY + array_latency(design) + 2


class Engine(wiring.Component):
    """Runs planned jobs.

    The words of a job's activations, x, come in this order, each with a lane per row of cells:

    - output-stationary: for each row tile, for each block, [for int8, for the high and the low digit]: the blocks of
      the tile's rows;
    - weight-stationary: for each slice, for each row, [for the high and the low digit]: the blocks of the slice.

    The words of its weights, w, come in this order, each with a block for each column of the tile: for each tile, for
    each block; weight-stationary: up to a multiple of `rows` blocks, filled up with label 0.

    The activations of a raw job come as blocks instead, packed by the front end: row by row.

    Rows of accumulators come out tile by tile.

    Parameters
    ----------
    design : DesignPoint

    Members
    -------
    plan : In(stream of plans)
    x, w : In(stream of words)
    acc : Out(stream of rows)
    blocks : In(stream of label, beta, and last of a row), of designs with a front end
    bad_row : Out, of designs with a front end
        A pulse where a row of blocks had more or fewer steps than its job says.
    busy, x_late, w_late, drain_blocked, idle : Out(32)
        Cycles since reset by cause, see `COUNTERS`.
    """

    def __init__(self, design: DesignPoint):
        self.design = design
        self.array = (OutputStationaryArray if design.dataflow == "os" else WeightStationaryArray)(design)
        block = data.StructLayout(packed_block(design.format) | {"last": 1})
        super().__init__(
            {
                "plan": In(stream.Signature(plan(design))),
                "x": In(stream.Signature(x_word(design))),
                "w": In(stream.Signature(w_word(design))),
                "acc": Out(stream.Signature(row(design))),
                **({"blocks": In(stream.Signature(block)), "bad_row": Out(1)} if design.front_end else {}),
                **{name: Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Queues of plans; filling; the sequencer; decoders; the array; the output queue; the counters."""
        m = Module()
        design = self.design
        output_stationary = design.dataflow == "os"

        limits = self._limits(m)
        queues = []
        for name in ("fill_x", "fill_w", "run"):
            m.submodules[f"plans_{name}"] = queue = SyncFIFOBuffered(width=limits.shape().size, depth=design.jobs)
            m.d.comb += [queue.w_data.eq(limits), queue.w_en.eq(self.plan.valid & self.plan.ready)]
            queues.append(queue)
        m.d.comb += self.plan.ready.eq(Cat(queue.w_rdy for queue in queues).all())
        fill_x, fill_w, run = (limits.shape()(queue.r_data) for queue in queues)

        # The sequencer: `go` is a beat. It may start a job, a tile or a slice when their banks are full and the way out
        # is free; what is free then stays free but for the output queue.
        go = Signal()
        first = Signal()
        x_full = Signal(2)
        x_done = Signal()
        x_bank = Signal()
        x_there = Signal()
        m.d.comb += x_there.eq(x_full.bit_select(x_bank, 1))
        with m.If(x_done):
            m.d.sync += [x_full.bit_select(x_bank, 1).eq(0), x_bank.eq(~x_bank)]
        m.d.comb += queues[2].r_en.eq(x_done)

        digit = Signal()  # the digit of int8 that is next
        last_digit = Signal()
        m.d.comb += last_digit.eq(digit | ~run.int8)
        with m.If(go):
            m.d.sync += digit.eq(~last_digit)

        flags = Signal(
            data.StructLayout({name: shape for name, shape in beat(design).members.items() if name not in "xw"})
        )
        tile_count = Signal(FIELD_BITS)
        step = Signal(run.last_step.shape())
        row_count = Signal(run.last_row.shape())
        last_tile = Signal()
        last_step = Signal()
        last_row = Signal()
        m.d.comb += [
            last_tile.eq(tile_count == run.last_tile),
            last_step.eq(step == run.last_step),
            last_row.eq(row_count == run.last_row),
        ]

        def count(counter: Signal, tick: Value, wrap: Value) -> None:
            with m.If(tick):
                m.d.sync += counter.eq(Mux(wrap, 0, counter + 1))

        finished = Signal(range(design.rows + 1))  # rows that the beat finishes
        restart = Signal()  # reading the activations begins again
        m.d.comb += [
            restart.eq(last_step & last_row & last_digit),
            flags.finish.eq(last_step & last_digit),
            flags.last.eq(last_row),
            flags.end.eq(last_tile & last_row),
        ]
        count(tile_count, go & restart, last_tile)
        if output_stationary:
            # For each tile, for each row tile, for each block.
            m.d.comb += [
                first.eq(~(step.any() | digit)),
                flags.count.eq(Mux(last_row, run.tail, design.rows)),
                finished.eq(flags.count),
            ]
            count(step, go & last_digit, last_step)
            count(row_count, go & flags.finish, last_row)
            w_done = Signal()
            m.d.comb += [w_done.eq(go & restart), x_done.eq(w_done & last_tile)]
            # A tile needs the way out for as many cycles as it has rows: a short one starts later.
            since = Signal(range(design.rows + 1), init=design.rows)
            with m.If(go & flags.finish):
                m.d.sync += since.eq(0)
            with m.Elif(since != design.rows):
                m.d.sync += since.eq(since + 1)
            congested = first & (since < run.gap)
        else:
            # For each tile, for each slice, for each row.
            m.d.comb += [
                first.eq(~(row_count.any() | digit)),
                flags.row.eq(row_count),
                flags.swap.eq(first),
                flags.start.eq(~(step.any() | digit)),
                finished.eq(1),
                x_done.eq(go & restart & last_tile),
            ]
            count(row_count, go & last_digit, last_row)
            count(step, go & last_digit & last_row, last_step)
            congested = Value.cast(0)

        # Room in the output queue is set aside with the beat that finishes rows, and given back row by row. What was
        # set aside in the last two cycles is not seen yet: two such beats, or one if there are two rows, or none.
        unseen = 2 if not output_stationary or design.rows == 1 else 2 * (design.rows == 2)
        room = Signal(range(design.drain_rows + 1), init=design.drain_rows)
        has_room = Signal(init=1)
        set_aside = Signal.like(finished)
        blocked = Signal()
        m.d.sync += [
            set_aside.eq(Mux(go & flags.finish, finished, 0)),
            room.eq(room - set_aside + (self.acc.valid & self.acc.ready)),
            has_room.eq(room >= unseen + (design.rows if output_stationary else 1)),
        ]
        m.d.comb += blocked.eq(congested | (flags.finish & ~has_room))

        # Filling and reading the memories.
        x_address = Signal(range(design.x_depth))
        count(x_address, go, restart)
        x_index = Signal(range(design.x_depth))
        x_bank_in = Signal()
        filling = Signal()
        x_filled = Signal()
        m.d.comb += filling.eq(queues[0].r_rdy & ~x_full.bit_select(x_bank_in, 1))
        by_word = filling & ~fill_x.raw if design.front_end else filling
        x_to, x_from = Cat(x_index, x_bank_in), Cat(x_address, x_bank)
        by_lane = design.front_end is not None
        x_data, x_write = banks(m, "x", self.x, by_word, x_to, x_from, design.x_depth, by_lane=by_lane)
        last_word = x_index == fill_x.last_x
        with m.If(by_word & self.x.valid):
            m.d.comb += x_filled.eq(last_word)
            m.d.sync += x_index.eq(Mux(last_word, 0, x_index + 1))
        if design.front_end:
            raw_filled, bad_row = fill_by_block(m, design, self.blocks, fill_x, x_index, x_write, filling & fill_x.raw)
            m.d.comb += self.bad_row.eq(bad_row)
            with m.If(raw_filled):
                m.d.comb += x_filled.eq(1)
        m.d.comb += queues[0].r_en.eq(x_filled)
        with m.If(x_filled):
            m.d.sync += [x_full.bit_select(x_bank_in, 1).eq(1), x_bank_in.eq(~x_bank_in)]

        tiles_in = Signal(FIELD_BITS)
        last_tile_in = tiles_in == fill_w.last_tile
        w_there = Signal()
        if output_stationary:
            w_full = Signal(2)
            w_bank = Signal()
            w_bank_in = Signal()
            m.d.comb += w_there.eq(w_full.bit_select(w_bank, 1))
            with m.If(w_done):
                m.d.sync += [w_full.bit_select(w_bank, 1).eq(0), w_bank.eq(~w_bank)]
            w_address = Signal(range(design.w_depth))
            count(w_address, go & last_digit, last_step)
            w_index = Signal(range(design.w_depth))
            w_filling = Signal()
            m.d.comb += w_filling.eq(queues[1].r_rdy & ~w_full.bit_select(w_bank_in, 1))
            w_to, w_from = Cat(w_index, w_bank_in), Cat(w_address, w_bank)
            w_data, _ = banks(m, "w", self.w, w_filling, w_to, w_from, design.w_depth, by_lane=False)
            last_w = w_index == fill_w.last_step
            count(w_index, w_filling & self.w.valid, last_w)
            filled = w_filling & self.w.valid & last_w
            with m.If(filled):
                m.d.sync += [w_full.bit_select(w_bank_in, 1).eq(1), w_bank_in.eq(~w_bank_in)]
        else:
            # The cells' second weights are the bank: taken over with a slice's first beat, and free from that cycle on.
            w_row = Signal(range(design.rows))
            steps_in = Signal(fill_w.last_step.shape())
            full = Signal()
            m.d.comb += [w_there.eq(full | ~first), self.w.ready.eq(queues[1].r_rdy & (~full | (go & first)))]
            loading = Signal()
            m.d.comb += loading.eq(self.w.valid & self.w.ready)
            last_w_row, last_step_in = w_row == design.rows - 1, steps_in == fill_w.last_step
            count(w_row, loading, last_w_row)
            count(steps_in, loading & last_w_row, last_step_in)
            filled = loading & last_w_row & last_step_in
            with m.If(loading & last_w_row):
                m.d.sync += full.eq(1)
            with m.Elif(go & first):
                m.d.sync += full.eq(0)
            # As late as the activations, which come out of a memory.
            w_data = w_word(design)(delay(m, Value.cast(self.w.payload), READING, "w_word"))
            in_row = Signal(1 + len(w_row))
            m.d.comb += in_row.eq(Cat(loading, w_row))
            in_row = delay(m, in_row, READING + Decoder.LATENCY, "w_row", reset_less=False)
            m.d.comb += [self.array.load.valid.eq(in_row[0]), self.array.load.payload.row.eq(in_row[1:])]
        count(tiles_in, filled, last_tile_in)
        m.d.comb += queues[1].r_en.eq(filled & last_tile_in)
        m.d.comb += go.eq(x_there & w_there & ~blocked)

        # Decoders; digits of int8 go past them.
        m.submodules.array = array = self.array
        kind = Signal(2)
        m.d.comb += kind.eq(Cat(run.int8, digit))
        kind = delay(m, kind, READING, "kind")
        for i in range(design.rows):
            self._decode_x(m, platform, i, x_data, kind, array.i.payload.x[i])
        w_blocks = array.i.payload.w if output_stationary else array.load.payload.w
        for i in range(design.cols):
            decoder = self._decoder(m, platform, f"w{i}", w_data, i)
            m.d.comb += w_blocks[i].eq(decoder.o.payload)
        m.d.comb += array.i.valid.eq(delay(m, go, READING + Decoder.LATENCY, "go", reset_less=False))
        late = flags.shape()(delay(m, flags.as_value(), READING + Decoder.LATENCY, "flags"))
        for name in flags.shape().members:
            m.d.comb += array.i.payload[name].eq(late[name])

        m.submodules.queue = queue = SyncFIFOBuffered(width=row(design).size, depth=design.drain_rows)
        m.d.comb += [
            queue.w_data.eq(array.o.payload),
            queue.w_en.eq(array.o.valid),
            self.acc.payload.eq(queue.r_data),
            self.acc.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.acc.ready),
        ]

        there = Signal()
        m.d.comb += there.eq(queues[2].r_rdy)
        conditions = dict(
            busy=go,
            drain_blocked=there & congested,
            x_late=there & ~congested & ~x_there,
            w_late=there & ~congested & x_there & ~w_there,
            idle=~there,
        )
        conditions["drain_blocked"] |= x_there & w_there & blocked
        for name in COUNTERS:
            counter = getattr(self, name)
            with m.If(conditions[name]):
                m.d.sync += counter.eq(counter + 1)
        return m

    def _limits(self, m: Module) -> data.View:
        """A plan as the three followers want it: the largest value of each of their counters, `last_…`; `gap`, by how
        much a tile of an output-stationary array is shorter than it has rows; and what they need besides."""
        design, plan = self.design, self.plan.payload
        fields: dict[str, ShapeLike] = {
            "last_tile": FIELD_BITS,
            "last_step": range(design.x_depth),
            "last_row": range(design.panel_rows),
            "last_x": range(design.x_depth),
            "rows": plan.rows.shape(),
            "tail": plan.tail.shape(),
            "gap": range(design.rows + 1),
            **KINDS,
        }
        limits = Signal(data.StructLayout(fields), name="limits")
        beats = Signal(range(2 * design.x_depth + 1), name="beats")
        m.d.comb += [
            beats.eq(Mux(plan.int8, plan.steps << 1, plan.steps)),
            limits.last_tile.eq(plan.tiles - 1),
            limits.last_step.eq(plan.steps - 1),
            limits.last_row.eq(plan.row_tiles - 1),
            limits.last_x.eq(plan.x_words - 1),
            limits.gap.eq(Mux(beats >= design.rows, 0, design.rows - beats)),
            *(limits[name].eq(plan[name]) for name in ("rows", "tail", *KINDS)),
        ]
        return limits

    def _decoder(self, m: Module, platform: object, name: str, word: data.View, lane: int) -> Decoder:
        """A decoder of one lane of a word."""
        decoder = Decoder(self.design.format)
        place(m, platform, f"decoder_{name}", decoder)
        m.d.comb += [decoder.i.payload.label.eq(word.labels[lane]), decoder.o.ready.eq(1)]
        if self.design.format.beta_bits:
            m.d.comb += decoder.i.payload.beta.eq(word.betas[lane])
        return decoder

    def _decode_x(
        self, m: Module, platform: object, lane: int, word: data.View, kind: Signal, block: data.View
    ) -> None:
        """A block of activations from a lane of a word; `kind` is int8 or not, and the digit."""
        design = self.design
        if design.packed:
            decoded = self._decoder(m, platform, f"x{lane}", word, lane).o.payload
            m.d.comb += [block.y[i].eq(decoded.y[i]) for i in range(DIM)]
            if design.format.beta_bits:
                m.d.comb += block.beta.eq(decoded.beta)
        if not design.int8:
            return
        digits = Signal(DIM * NIBBLE + 2, name=f"digits_{lane}")
        m.d.comb += digits.eq(Cat(word.labels[lane][: DIM * NIBBLE], kind))
        digits = delay(m, digits, Decoder.LATENCY, f"digits_{lane}")
        is_int8, low = digits[-2], digits[-1]
        with m.If(is_int8 if design.packed else 1):
            for i in range(DIM):
                nibble = digits[NIBBLE * i : NIBBLE * (i + 1)]
                m.d.comb += block.y[i].eq(Cat(nibble, nibble[-1] & ~low).as_signed())
            m.d.comb += block.beta.eq((len(design.format.betas) if design.packed else 0) + low)
