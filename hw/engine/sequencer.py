"""The engine: planned jobs and their words in, rows of accumulators out.

Three parts follow the same queue of plans, each at its own pace: one fills the banks of the activations' memory, a bank
per job; one fills the banks of the weights' memory, a bank per tile (output-stationary), or the cells, a slice at a
time (weight-stationary); and the sequencer reads full banks and sends one beat a cycle into the array. A bank is read
when it is full and filled when the sequencer is through with it, so that the next job and the next weights load behind
the present ones.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from hw.array.edges import beat
from hw.array.edges import latency as array_latency
from hw.array.output_stationary import OutputStationaryArray
from hw.array.weight_stationary import WeightStationaryArray
from hw.codec.decoder import Decoder
from hw.design import KEEPING, NIBBLE, DesignPoint
from hw.engine.banks import READING, Turns, banks, fill_by_block, w_lane, w_word, x_lane, x_word
from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.follower import Follower
from hw.engine.keeper import Keeper, kept_row
from hw.engine.planner import FIELD_BITS, SUMS, plan
from hw.streams import BlockQueue, packed_block
from hw.units import place
from hw.values import register


def decoding(design: DesignPoint) -> int:
    """Cycles from words to blocks: the decoder's, and one to take digits of int8 instead."""
    return len(Decoder.STAGES[design.pipeline]) + design.int8


def latency(design: DesignPoint) -> int:
    """Cycles from the last beat of a tile to valid of its first row at `acc` (output-stationary), or from the beat that
    finishes a row to valid of the row (weight-stationary), the output queue being empty."""
    return through_array(design) + (KEEPING if design.keep_rows else 0) + 2


def through_array(design: DesignPoint) -> int:
    """The same, to where rows leave the array."""
    return READING + decoding(design) + array_latency(design)


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
        As `hw.engine.keeper.kept_row` has them.
    blocks : In(stream of label, beta, and last of a row), of designs with a front end
        Rows of as many steps as their job says.
    busy, x_late, w_late, drain_blocked, idle : Out(32)
        Cycles since reset by cause, see `COUNTERS`.
    freeze : In(1), of designs with diagnostics
        Counters stand still.
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
                "acc": Out(stream.Signature(kept_row(design))),
                **({"blocks": In(stream.Signature(block))} if design.front_end else {}),
                **({"freeze": In(1)} if design.diagnostics else {}),
                **{name: Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Queues of plans; filling; the sequencer; decoders; the array; the output queue; the counters."""
        m = Module()
        design = self.design
        output_stationary = design.dataflow == "os"

        fill_x, fill_w, run = followers(m, design, self.plan)
        now, last = run.now, run.last
        # A block is a beat, or two for int8.
        int8, last_digit = (now.int8, last.digits) if design.int8 else (Const(0, 1), Const(1, 1))

        # The sequencer: `go` is a beat. It may start a job, a tile or a slice when their banks are full and the way out
        # is free; what is free then stays free but for the output queue. All that it asks is in registers.
        go = Signal()
        first = Signal(init=1)  # the beat is the first of its tile or slice
        restart = Signal()  # reading the activations begins again
        x_there = Signal()
        w_there = Signal()
        flags = Signal(
            data.StructLayout({name: shape for name, shape in beat(design).members.items() if name not in "xw"})
        )
        m.d.comb += [
            run.go.eq(go),
            restart.eq(last_digit & last.steps & last.rows),
            flags.finish.eq(last_digit & last.steps),
            flags.last.eq(last.rows),
            flags.end.eq(last.tiles & last.rows),
        ]

        def count(counter: Signal, tick: Value, wrap: Value) -> None:
            with m.If(tick):
                m.d.sync += counter.eq(Mux(wrap, 0, counter + 1))

        finished = Signal(range(design.rows + 1))  # rows that the beat finishes
        congested = Signal()
        if output_stationary:
            # For each tile, for each row tile, for each block.
            m.d.comb += [flags.count.eq(Mux(last.rows, now.tail, design.rows)), finished.eq(flags.count)]
            with m.If(go):
                m.d.sync += first.eq(flags.finish)
            # A tile needs the way out for as many cycles as it has rows: a short one starts later, at the cycle after
            # its gap. That is known a cycle ahead, of the beat that is next then.
            since = Signal(range(design.rows + 1), init=design.rows)
            later = Signal.like(since)
            m.d.comb += later.eq(Mux(since == design.rows, since, since + 1))
            m.d.sync += since.eq(Mux(go & flags.finish, 0, later))
            gap = Mux(run.there, now.gap, run.after.gap)
            m.d.sync += congested.eq(Mux(go, flags.finish & run.after.gap.any(), first & (later < gap)))
        else:
            # For each tile, for each slice, for each row.
            panel_row = Signal(range(design.panel_rows))
            starting = Signal(init=1)  # the slice is the first of its tile
            m.d.comb += [
                flags.swap.eq(first),
                flags.start.eq(starting & ~(int8 & last_digit)),
                flags.row.eq(panel_row),
                finished.eq(1),
            ]
            count(panel_row, go & last_digit, last.rows)
            with m.If(go):
                m.d.sync += first.eq(last_digit & last.rows)
            with m.If(go & last_digit & last.rows):
                m.d.sync += starting.eq(last.steps)

        # Room in the output queue is set aside with the beat that finishes rows, and given back row by row. What was
        # set aside in the last two cycles is not seen yet: two such beats, or one if there are two rows, or none.
        unseen = 2 if not output_stationary or design.rows == 1 else 2 * (design.rows == 2)
        room = Signal(range(design.drain_rows + 1), init=design.drain_rows)
        given_back = Signal()
        has_room = Signal(init=1)
        set_aside = Signal.like(finished)
        blocked = Signal()
        rest = room - set_aside
        if design.keep_rows:
            rest = rest + given_back
        m.d.sync += [
            set_aside.eq(Mux(go & flags.finish, finished, 0)),
            # Whether a row is taken is known last.
            room.eq(Mux(self.acc.valid & self.acc.ready, rest + 1, rest)),
            has_room.eq(room >= unseen + (design.rows if output_stationary else 1)),
        ]
        m.d.comb += blocked.eq(congested | (flags.finish & ~has_room))

        # Filling and reading the memories.
        m.submodules.turns_x = x_turns = Turns()
        x_address = Signal(range(design.x_depth))
        count(x_address, go, restart)
        x_index = Signal(range(design.x_depth))
        raw = fill_x.now.raw if design.front_end else Const(0, 1)
        by_word = x_turns.filling & ~raw
        by_lane = design.front_end is not None
        x_data, x_write = banks(
            m, "x", x_lane(design), self.x, x_turns, by_word, x_index, x_address, design.x_depth, by_lane=by_lane
        )
        m.d.comb += fill_x.go.eq(fill_x.there & x_turns.free & ~raw & self.x.valid)
        count(x_index, fill_x.go & ~raw, fill_x.end)
        if design.front_end:
            by_block = x_turns.filling & raw
            raw_filled = fill_by_block(m, design, self.blocks, fill_x.now, x_index, x_write, by_block)
            with m.If(raw_filled):
                m.d.comb += fill_x.go.eq(1)
        m.d.comb += [
            x_turns.wanted.eq(fill_x.there_next),
            x_turns.filled.eq(fill_x.go & fill_x.end),
            x_turns.done.eq(go & run.end),
            x_there.eq(x_turns.reading),
        ]

        if output_stationary:
            m.submodules.turns_w = w_turns = Turns()
            # A word's address is what the loop has left: it needs no counter of its own.
            w_index = Signal(range(design.w_depth))
            w_address = Signal(range(design.w_depth))
            filling, lane = w_turns.filling, w_lane(design)
            w_data, _ = banks(m, "w", lane, self.w, w_turns, filling, w_index, w_address, design.w_depth, by_lane=False)
            m.d.comb += [
                w_index.eq(fill_w.left.steps),
                w_address.eq(run.left.steps),
                fill_w.go.eq(fill_w.there & w_turns.free & self.w.valid),
                w_turns.wanted.eq(fill_w.there_next),
                w_turns.filled.eq(fill_w.go & fill_w.last.steps),
                w_turns.done.eq(go & restart),
                w_there.eq(w_turns.reading),
            ]
        else:
            # The cells' second weights are the bank: taken over with a slice's first beat, and free from that cycle on
            # for the first row's; for those of the other rows it is free then.
            w_row = Signal(range(design.rows))
            last_w_row = w_row == design.rows - 1
            full = Signal()
            loading = Signal()
            m.d.comb += [
                w_there.eq(full | ~first),
                self.w.ready.eq(fill_w.there & (w_row.any() | ~full | (go & first))),
                loading.eq(self.w.valid & self.w.ready),
                fill_w.go.eq((self.w.valid & fill_w.there & last_w_row) if design.rows > 1 else loading),
            ]
            count(w_row, loading, last_w_row)
            with m.If(fill_w.go):
                m.d.sync += full.eq(1)
            with m.Elif(go & first):
                m.d.sync += full.eq(0)
            # As late as the activations, which come out of a memory.
            w_data = w_word(design)(register(m, "w_word", Value.cast(self.w.payload), cycles=READING))
            in_row = register(m, "in_row", Cat(loading, w_row), cycles=READING + decoding(design), reset_less=False)
            m.d.comb += [self.array.load.valid.eq(in_row[0]), self.array.load.payload.row.eq(in_row[1:])]
        m.d.comb += go.eq(x_there & w_there & ~blocked)

        # Decoders; digits of int8 go past them.
        m.submodules.array = array = self.array
        kind = register(m, "kind", Cat(int8, last_digit), cycles=READING)
        for i in range(design.rows):
            self._decode_x(m, platform, i, x_data, kind, array.i.payload.x[i])
        w_data = w_word(design)(register(m, "w_late", Value.cast(w_data), cycles=int(design.int8)))
        w_blocks = array.i.payload.w if output_stationary else array.load.payload.w
        for i in range(design.cols):
            decoder = self._decoder(m, platform, f"w{i}", w_data, i)
            m.d.comb += w_blocks[i].eq(decoder.o.payload)
        m.d.comb += array.i.valid.eq(register(m, "go", go, cycles=READING + decoding(design), reset_less=False))
        late = flags.shape()(register(m, "flags", flags.as_value(), cycles=READING + decoding(design)))
        for name in flags.shape().members:
            m.d.comb += array.i.payload[name].eq(late[name])

        out = self._keep(m, go & flags.finish, run.now, given_back) if design.keep_rows else array.o
        m.submodules.queue = queue = BlockQueue(width=kept_row(design).size, depth=design.drain_rows)
        m.d.comb += [
            queue.w_data.eq(out.payload),
            queue.w_en.eq(out.valid),
            self.acc.payload.eq(queue.r_data),
            self.acc.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.acc.ready),
        ]

        # Causes are counted a cycle later.
        there = run.there
        causes = dict(
            busy=go,
            drain_blocked=there & (congested | (x_there & w_there & blocked)),
            x_late=there & ~congested & ~x_there,
            w_late=there & ~congested & x_there & ~w_there,
            idle=~there,
        )
        for name in COUNTERS:
            counter = getattr(self, name)
            held = Signal(name=f"{name}_held", init=name == "idle")
            m.d.sync += held.eq(causes[name])
            with m.If(held & ~self.freeze if design.diagnostics else held):
                m.d.sync += counter.eq(counter + 1)
        return m

    def _keep(self, m: Module, finishes: Value, plan: data.View, given_back: Signal) -> stream.Interface:
        """Rows on their way past those that are kept; what their job wants is there when the first of them is, and
        stays until that of the next beat which finishes rows."""
        m.submodules.keeper = keeper = Keeper(self.design)
        through = through_array(self.design)
        # Without a reset: what was under way then has passed before the first row of a later beat is there.
        came = register(m, "sums", Cat(finishes, plan.add, plan.keep), cycles=through)
        held = Signal(2, reset_less=True)
        m.d.sync += held.eq(Mux(came[0], came[1:], held))
        wanted = Mux(came[0], came[1:], held)
        m.d.comb += [
            keeper.add.eq(wanted[0]),
            keeper.keep.eq(wanted[1]),
            keeper.i.payload.eq(self.array.o.payload),
            keeper.i.valid.eq(self.array.o.valid),
            given_back.eq(keeper.given_back),
        ]
        return keeper.o

    def _decoder(self, m: Module, platform: object, name: str, word: data.View, lane: int) -> Decoder:
        """A decoder of one lane of a word."""
        decoder = Decoder(self.design.format, stages=Decoder.STAGES[self.design.pipeline])
        place(m, platform, f"decoder_{name}", decoder)
        m.d.comb += [decoder.i.payload.label.eq(word.labels[lane]), decoder.o.ready.eq(1)]
        if self.design.format.beta_bits:
            m.d.comb += decoder.i.payload.beta.eq(word.betas[lane])
        return decoder

    def _decode_x(self, m: Module, platform: object, lane: int, word: data.View, kind: Value, block: data.View) -> None:
        """A block of activations from a lane of a word; `kind` is int8 or not, and the digit."""
        design = self.design
        chosen = block
        if design.int8:  # in a register: the array begins with squares, and all lanes ask for the kind
            chosen = Signal(block.shape(), name=f"chosen_{lane}")
            m.d.comb += block.as_value().eq(register(m, f"block_{lane}", chosen.as_value()))
        if design.packed:
            decoded = self._decoder(m, platform, f"x{lane}", word, lane).o.payload
            m.d.comb += [chosen.y[i].eq(decoded.y[i]) for i in range(DIM)]
            if design.format.beta_bits:
                m.d.comb += chosen.beta.eq(decoded.beta)
        if not design.int8:
            return
        digits = Cat(word.labels[lane][: DIM * NIBBLE], kind)
        digits = register(m, f"digits_{lane}", digits, cycles=len(Decoder.STAGES[design.pipeline]))
        is_int8, low = digits[-2], digits[-1]
        with m.If(is_int8 if design.packed else 1):
            for i in range(DIM):
                nibble = digits[NIBBLE * i : NIBBLE * (i + 1)]
                m.d.comb += chosen.y[i].eq(Cat(nibble, nibble[-1] & ~low).as_signed())
            m.d.comb += chosen.beta.eq((len(design.format.betas) if design.packed else 0) + low)


def followers(m: Module, design: DesignPoint, plans: stream.Interface) -> list[Follower]:
    """Those who fill the memory of activations and that of weights, and the sequencer; each gets all plans."""
    plan = plans.payload
    # The rounds of each loop, and how many there can be.
    rounds = {
        "steps": (plan.steps, design.x_depth),
        "rows": (plan.row_tiles, design.panel_rows),
        "tiles": (plan.tiles, (1 << FIELD_BITS) - 1),
        # Rows fill a bank at one go, see `fill_by_block`.
        "words": (Mux(plan.raw, 1, plan.x_words) if design.front_end else plan.x_words, design.x_depth),
    }
    beside: dict[str, Value] = {}
    if design.int8:
        rounds["digits"] = (Mux(plan.int8, 2, 1), 2)
        beside["int8"] = plan.int8
    if design.dataflow == "os":
        # By how much a tile is shorter than it has rows.
        gap = Signal(range(max(2, design.rows)))
        beats = Mux(plan.int8, plan.steps << 1, plan.steps) if design.int8 else plan.steps
        m.d.comb += gap.eq(Mux(beats >= design.rows, 0, design.rows - beats))
        beside |= {"tail": plan.tail, "gap": gap}
    if design.keep_rows:
        beside |= {name: plan[name] for name in SUMS}
    nest = ("steps", "rows", "tiles") if design.dataflow == "os" else ("rows", "steps", "tiles")
    rows = {name: plan[name] for name in ("raw", "rows")} if design.front_end else {}
    parts: dict[str, tuple[tuple[str, ...], dict[str, Value]]] = {
        "fill_x": (("words",), rows),
        "fill_w": (("steps", "tiles"), {}),
        "run": (("digits", *nest) if design.int8 else nest, beside),
    }
    followers = []
    for part, (loops, others) in parts.items():
        fields = {name: range(-1, rounds[name][1] - 1) for name in loops}
        fields |= {name: value.shape() for name, value in others.items()}
        m.submodules[f"follow_{part}"] = follower = Follower(fields, loops, design.jobs)
        m.d.comb += follower.i.valid.eq(plans.valid & plans.ready)
        m.d.comb += [follower.i.payload[name].eq(rounds[name][0] - 2) for name in loops]
        m.d.comb += [follower.i.payload[name].eq(value) for name, value in others.items()]
        followers.append(follower)
    m.d.comb += plans.ready.eq(Cat(follower.i.ready for follower in followers).all())
    return followers
