"""Claims on the units that do as a plan says: how often, how many, in whose turn, and added to what."""

from collections.abc import Sequence

from amaranth import Array, Cat, Mux, Signal, Value
from amaranth.lib import data
from amaranth.utils import bits_for

from hw.axi.framer import Framer
from hw.design import KEEPING, LEAST_KEPT, DesignPoint
from hw.engine.banks import Turns
from hw.engine.follower import Follower
from hw.engine.keeper import Keeper
from hw.values import register
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction
from sim.formal.queues import counted, in_order, memory, ring

KEEPS = DesignPoint(name="keeps", rows=1, cols=1, x_depth=4, w_depth=4, panel_rows=4, keep_rows=4)
"""A small design that keeps rows."""


def follower(h: Harness) -> None:
    """Plans of two loops; who follows them goes on whenever he likes."""
    bits, depth, loops = 2, 4, ("inner", "outer")
    unit = Follower({**dict.fromkeys(loops, range(-1, 2)), "tag": bits}, loops, depth)
    plan = unit.i.payload.shape()
    dut, path = h.place(unit), "dut.core.queue"
    h.assume(~dut.go | dut.there)
    came, went = dut.i_valid & dut.i_ready, dut.go & dut.end
    head, tail = (h.probe(f"{path}.{name}", bits_for(depth - 2)) for name in ("head", "$signature__addr"))
    laps = [h.probe(f"{path}.{name}_lap", 1) for name in ("head", "tail")]
    level = h.wire((tail - head + Mux(laps[0] == laps[1], 0, depth - 1))[: bits_for(depth)], "level")
    h.prove("its ends", (head < depth - 1) & (tail < depth - 1) & (level < depth))
    h.prove("it takes plans until its queue is full", dut.i_ready == (level < depth - 1))
    waits = ring(memory(h, f"{path}.memory", depth - 1, plan.size), head)
    held = [Mux(dut.there, before, here) for before, here in zip([dut.now, *waits], [*waits, dut.now], strict=True)]
    inside = counted(h, came, went, depth)
    given = Cat(getattr(dut, f"i_{name}") for name in plan.members)
    in_order(h, inside, (came, given), (went, dut.now), dut.there + level, held)
    h.assume(_sound(plan, given, loops))
    sound = Cat((inside <= k) | _sound(plan, word, loops) for k, word in enumerate(held)).all()
    h.prove("every loop of its plans has a round", sound)

    now, left = data.View(plan, dut.now), data.View(unit.left.shape(), dut.left)
    tick, end = dut.go, dut.there
    for i, name in enumerate(loops):
        done = Signal(bits + 1, name=f"done_{name}")  # rounds of the loop
        last = done == now[name] + 1
        with h.m.If(tick):
            h.m.d.sync += done.eq(Mux(last, 0, done + 1))
        h.prove(f"{name}: rounds that are left", ~dut.there | (left[name] == now[name] - done))
        h.prove(f"{name}: not more rounds than the plan says", ~dut.there | (done <= (now[name] + 1).as_unsigned()))
        h.prove(f"{name}: no round of a plan that is not there", dut.there | ~done.any())
        h.prove(f"{name}: its last round", ~dut.there | (dut.last[i] == last))
        tick, end = tick & last, end & last
    h.prove("a plan ends when all of its loops do", ~dut.there | (dut.end == end))
    moves, there_next = (register(h.m, "before", value, reset_less=False) for value in (dut.go, dut.there_next))
    h.prove("it knows whether there will be a plan", dut.there == there_next)
    h.prove("and which, after a round", ~(dut.there & moves) | (dut.now == h.past(dut.after)))
    h.cover("three rounds of three", went & (now.inner == 1) & (now.outer == 1))


def _sound(plan: data.StructLayout, word: Value, loops: Sequence[str]) -> Value:
    return Cat(data.View(plan, word)[name] >= -1 for name in loops).all()


def framer(h: Harness) -> None:
    """Any jobs, any packets."""
    unit = Framer(8, tiled=True)
    dut, path = h.place(unit), "dut.core.core"
    job = data.View(unit.job.payload.shape(), dut.job_payload)
    h.assume(job.tiles.any() & job.words.any())
    m, handed, taken = h.m, dut.o_valid & dut.o_ready, dut.packet_tvalid & dut.packet_tready
    running, whole, over = (Signal(name=name) for name in ("running", "whole", "over"))
    tiles, words = (Signal.like(job[name], name=f"of_{name}", reset_less=True) for name in ("tiles", "words"))
    tile, word = (Signal.like(value, name=f"at_{name}") for name, value in (("tile", tiles), ("word", words)))
    row_ends = word == words - 1
    final = row_ends & (tile == tiles - 1)
    ends = taken & dut.packet_tlast
    with m.If(dut.job_valid & dut.job_ready):
        m.d.sync += [running.eq(1), whole.eq(0), over.eq(0), tiles.eq(job.tiles), words.eq(job.words)]
        m.d.sync += [tile.eq(0), word.eq(0)]
    with m.Else():
        m.d.sync += [whole.eq(whole | (handed & final)), over.eq(over | ends)]
        m.d.sync += running.eq(running & ~((whole | (handed & final)) & (over | ends)))
        with m.If(handed):
            m.d.sync += [word.eq(Mux(row_ends, 0, word + 1)), tile.eq(tile + row_ends)]
    passes = running & ~whole & ~over
    state, left = h.probe(f"{path}.fsm_state"), [h.probe(f"{path}.{name}") for name in ("tiles", "word", "words")]
    expected = Mux(running, Mux(whole, 2, Mux(over, 3, 1)), 0)
    h.prove("it knows where it is", (state == expected) & ~(running & whole & over))
    knows = Cat(a == b for a, b in zip(left, (tiles - tile, words - word, words), strict=True)).all()
    h.prove("and how much is left", ~running | whole | knows)
    h.prove("a job has not begun that is done", ~running | whole | ((tile < tiles) & (word < words)))
    h.prove("it takes a job when the one before it and its packet are done", dut.job_ready == ~running)
    h.prove("it hands out no more than a job has", ~handed | (running & ~whole))
    h.prove("a word of the packet is handed out as it is taken, until one of both ends", ~passes | (handed == taken))
    h.prove("as it is", ~(passes & handed) | (dut.o_payload == dut.packet_tdata))
    h.prove(
        "after the packet come zeros, without a pause",
        ~(running & over & ~whole) | (dut.o_valid & ~dut.o_payload.any()),
    )
    h.prove("nothing else is taken but what is too long", ~taken | passes | (running & whole))
    h.prove("what is too long is taken", ~(running & whole & ~over) | dut.packet_tready)
    h.prove("an error at the end that comes first", dut.error == (passes & handed & (dut.packet_tlast ^ final)))
    h.cover("a packet too short, of two tiles", running & over & ~whole & (tile == 1))
    h.cover("a packet too long, of two tiles", running & whole & ~over & (tiles == 2))


def turns(h: Harness) -> None:
    """Whoever fills keeps to what is free, and whoever reads to what is there."""
    dut = h.place(Turns())
    h.assume(~dut.filled | dut.free)
    h.assume(~dut.done | dut.reading)
    full, wanted = counted(h, dut.filled, dut.done, 2), register(h.m, "wanted_before", dut.wanted, reset_less=False)
    fills, reads = (Signal(name=name) for name in ("fills", "reads"))
    h.m.d.sync += [fills.eq(fills ^ dut.filled), reads.eq(reads ^ dut.done)]
    h.prove("no more than both are full", full <= 2)
    h.prove("it knows", h.probe("dut.core.both") == (full == 2))
    h.prove("one is read where one is full", dut.reading == full.any())
    h.prove("one is free where not both are full", dut.free == (full < 2))
    h.prove("one is filled where one is free, if that was wanted", dut.filling == (wanted & dut.free))
    h.prove("each in turn", (dut.bank_in == fills) & (dut.bank_out == reads) & (fills ^ reads == full[0]))
    h.prove("never the one that is read", ~(dut.filling & dut.reading) | (dut.bank_in != dut.bank_out))
    h.cover("both are full", full == 2)
    h.cover("one is filled while the other is read", dut.filled & dut.reading & dut.bank_in)


def keeper(h: Harness) -> None:
    """Any jobs; the row of a number that the solver picks is watched."""
    dut, rows, m = h.place(Keeper(KEEPS)), KEEPS.keep_rows, h.m
    number, around_again, inside = Signal(range(rows)), Signal(), Signal()
    wants, modes = Signal(2, reset_less=True), Cat(dut.add, dut.keep)
    with m.If(dut.i_valid):
        m.d.sync += [number.eq(Mux(dut.i_end, 0, number + 1)), inside.eq(~dut.i_end), wants.eq(modes)]
        m.d.sync += around_again.eq(~dut.i_end & (around_again | (number == rows - 1)))
    h.assume(~dut.i_valid | ~inside | (modes == wants))
    few = dut.i_end & (number < LEAST_KEPT - 1) & ~around_again
    h.assume(~dut.i_valid | ~modes.any() | ~(few | around_again))

    watched = h.always("watched", range(rows))
    comes = dut.i_valid & (number == watched)
    kept, known = Signal(len(dut.i_values)), Signal()
    total = h.wire((dut.i_values + Mux(dut.add, kept, 0))[: len(kept)])
    with m.If(comes & dut.keep):
        m.d.sync += [kept.eq(total), known.eq(known | ~dut.add)]
    keeps = register(m, "keeps", comes & dut.keep, reset_less=False)
    flying = Cat(register(m, "flying", keeps, cycles=k, reset_less=False) for k in range(KEEPING)).any()
    place = Array(h.probe(f"dut.core.memory[{i}]", len(kept)) for i in range(rows))[watched]
    h.prove("a job begins with row 0", inside | ~(number.any() | around_again))
    h.prove("it knows a row's number", h.probe("dut.core.$signature__addr", bits_for(rows - 1)) == number)
    h.prove("a row does not come again while it is on its way", ~flying | (number != watched))
    h.prove("what is kept is in its place", ~known | flying | (place == kept))

    def then(value: object) -> object:
        return register(m, "then", value, cycles=KEEPING, reset_less=False)

    out = then(dut.i_valid & (~dut.keep | dut.i_end))
    h.prove("a row comes out that is not kept, and the last one of those that are", dut.o_valid == out)
    h.prove(
        "it says which",
        ~dut.o_valid | (Cat(dut.o_kept, dut.o_end, dut.o_last) == then(Cat(dut.keep, dut.i_end, dut.i_last))),
    )
    h.prove("room is given back for the others", dut.given_back == then(dut.i_valid & dut.keep & ~dut.i_end))
    sums = then(comes & (known | ~dut.add))
    h.prove(
        "it is the row, and what was kept if it is to be added", ~(sums & dut.o_valid) | (dut.o_values == then(total))
    )
    h.cover("a row comes out to which the kept one was added", sums & dut.o_valid & ~dut.o_kept & then(known & dut.add))


def claims() -> list[Claim]:
    """All of them."""
    return [
        Claim(
            "plan_follower",
            "What follows the queue of plans is at every plan once, in their order, for as many rounds of two loops, "
            "one in the other, as the plan says; it says which round is the last, and what plan is next.",
            follower,
            Induction(1, reach=14),
            Bug("the inner loop does not count", "there & _17_", "there & 1'h0"),
        ),
        Claim(
            "plan_framer",
            "Of every packet of AXI4-Stream a framer hands out as many words as the job has, tile by tile, as they are "
            "and once: of one that is too long the first ones, the rest is dropped; after one that is too short come "
            "zeros. Either is told of once, and the next packet is the next job's.",
            framer,
            Induction(1, reach=10),
            Bug("a packet that is too short ends its job", r"packet__tlast \? 2'h3", "packet__tlast ? 2'h0"),
        ),
        Claim(
            "plan_turns",
            "Of two banks each is filled and read in its turn, none that is full is filled, none that is not is read, "
            "and none is filled while it is read.",
            turns,
            Induction(1, reach=8),
            Bug("it offers a bank that is full", "assign free = .*;", "assign free = 1'h1;"),
        ),
        Claim(
            "plan_keeper",
            "A row of accumulators whose job adds comes out, or is kept, with the row of its number added that was "
            "kept last; those that are kept stay, but for the mark of their job's end. Jobs that add or keep have "
            f"{LEAST_KEPT} rows or more, and no more than can be kept.",
            keeper,
            Induction(KEEPING + 2, reach=4 * LEAST_KEPT),
            Bug("what is not to be kept is kept", "assign write__en = done & kept;", "assign write__en = done;"),
        ),
    ]
