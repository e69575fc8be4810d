"""Claims that nothing comes to a stop: what a unit takes it ends, within a bound.

What a unit waits for is assumed to come soon: each consumer takes what is on offer, and each producer gives what it
owes, after at most `PATIENCE` cycles. A rank, which is a number of what is left to do, falls with each step and never
rises but for new work; and while it is not zero, a step is made at least every so many cycles. So what is begun ends
after at most as many cycles as the two multiplied.
"""

from amaranth import Array, Cat, Mux, Signal, Value
from amaranth.utils import bits_for, exact_log2

from golden.frontend import FrontEndRules
from hw.axi.bursts import burst_layout, planes_layout
from hw.axi.gearbox import Gearbox
from hw.axi.read import Reader, ReaderShape
from hw.axi.write import outstanding, result_word_bits
from hw.design import DesignPoint
from hw.engine.planner import Planner, errors
from sim.formal.buses import DESIGN, reads, writes
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction
from sim.formal.rules import StreamRules, after_reset
from sim.formal.streams import gearbox_level

PATIENCE = 2
"""Cycles in a row that a unit is let wait for another one, at most: but for a port, which has several users."""

READER = ReaderShape(24, 32, 4, 8, 0)
"""Words that lie across beats, and a queue of two bursts."""

MOST_WORDS, MOST_PLANES = 8, 3
"""Of a job of it: more beats than the queue has room for."""

PLANNED = DesignPoint(
    name="plans", rows=2, cols=1, x_depth=8, w_depth=8, panel_rows=6, keep_rows=16, front_end=FrontEndRules(length=16)
)
"""A design whose planner knows every reason to refuse a job."""

READER_BOUND, REQUEST_BOUND, QUIET_BOUND, WRITER_BOUND, PLANNER_BOUND = 17, 4, 6, PATIENCE, 3 + PATIENCE
"""Cycles in a row without a step, at most. Runs with as many are reached."""


def lasts(h: Harness, waits: Value, most: int) -> Value:
    """Whether `waits` has been so for at most so many cycles in a row."""
    cycles = Signal(range(most + 2), name="cycles")
    h.m.d.sync += cycles.eq(Mux(waits, Mux(cycles > most, cycles, cycles + 1), 0))
    return cycles + waits <= most


def reader(h: Harness) -> tuple[Value, Value]:
    """A reader, and whoever takes its bursts, brings their beats and takes its words. Returns whether it has anything
    to do, and whether it makes a step."""
    unit, burst, depth = Reader(READER), READER.burst, READER.depth
    dut, path = h.place(unit), "dut.core"
    job = planes_layout(READER.word_bits, READER.bus_bits)(
        Cat(getattr(dut, f"job_{name}") for name in unit.shape.planes.members)
    )
    gearbox = Gearbox(READER.bus_bits, READER.word_bits)
    gearbox._MustUse__silence = True
    came, leave = READER.bus_bits // gearbox.unit_bits, READER.word_bits // gearbox.unit_bits

    def beats_of(words: Value) -> Value:
        return (words * leave + came - 1) >> exact_log2(came)

    h.m.submodules.rules_job = rules = StreamRules(job.shape().size)
    h.m.d.comb += [rules.valid.eq(dut.job_valid), rules.ready.eq(dut.job_ready), rules.payload.eq(job.as_value())]
    h.assume(rules.giver)
    few = job.words.any() & (job.words <= MOST_WORDS) & job.planes.any() & (job.planes <= MOST_PLANES)
    h.assume(~dut.job_valid | (few & (job.beats == beats_of(job.words[: bits_for(MOST_WORDS)]))))

    owed = Signal(range(depth + 1))
    asked = dut.request_valid & dut.request_ready
    h.m.d.sync += owed.eq(owed + Mux(asked, dut.request_more + 1, 0) - dut.push)
    h.assume(~dut.push | owed.any())
    h.assume(lasts(h, dut.request_valid & ~dut.request_ready, REQUEST_BOUND))
    h.assume(lasts(h, owed.any() & ~dut.push, PATIENCE))
    h.assume(lasts(h, dut.o_valid & ~dut.o_ready, PATIENCE))

    # What is left to be cut.
    cutting, taken_ask = (h.probe(f"{path}.{name}") for name in ("cutting", "taken_ask"))
    words, word, more = (h.probe(f"{path}.{name}") for name in ("words", "word", "more"))
    each = h.wire((words + 2)[: bits_for(MOST_WORDS)], "each")
    left = h.wire((word + 2)[: bits_for(MOST_WORDS)], "left")
    planes = h.wire(more[: bits_for(MOST_PLANES)], "planes")
    h.prove(
        "a job that is cut is a small one",
        ~cutting
        | (((words + 2)[: len(words)] == each) & (each <= MOST_WORDS) & each.any() & (more == planes) & planes.any()),
    )
    h.prove(
        "a plane that is cut has words left",
        ~cutting | (((word + 2)[: len(word)] == left) & left.any() & (left <= each)),
    )
    level = gearbox_level(h, gearbox, f"{path}.gearbox")
    h.prove("no word of the gearbox is a last one", ~h.probe(f"{path}.gearbox.ending"))
    beats = h.wire(beats_of(each), "beats")
    gone = h.wire(leave * (each - left)[: len(each)], "gone")
    h.prove("a plane takes its beats and no other", ~cutting | (level + gone <= came * beats))
    h.prove("a beat is held between jobs at most", cutting | ~level.any() | (level == came))
    wanted = Mux(cutting, came * (planes * beats)[:5] - gone, 0)

    # What is on its way to it.
    layout = burst_layout(READER.bus_bits, burst)
    inside = exact_log2(burst)
    walking, slicing, end, further, offset, final, ahead, offered = (
        h.probe(f"{path}.bursts.{name}", bits)
        for name, bits in (
            ("walking", 1),
            ("cutting", 1),
            ("end", len(job.beats) + 1),
            ("further", len(job.beats) + 2 - inside),
            ("offset", inside),
            ("final", inside),
            ("planes", 16),
            ("o__valid", 1),
        )
    )
    next_burst = layout(h.probe(f"{path}.bursts.o__payload", layout.size))
    of_plane = h.wire((end + burst + 1)[:3], "of_plane")
    h.prove(
        "a job that is asked for is a small one",
        ~walking
        | (((end + burst + 1)[: len(end)] == of_plane) & of_plane.any() & (ahead <= MOST_PLANES) & ahead.any()),
    )
    lines = h.wire((further + 1)[:2], "lines")
    h.prove(
        "of a plane that is asked for there are beats left",
        ~slicing | (((further + 1)[: len(further)] == lines) & (lines.any() | (offset <= final))),
    )
    of_rest = lines * burst + final - offset + 1
    to_ask = (
        Mux(walking, (ahead[: bits_for(MOST_PLANES)] * of_plane)[:5], 0)
        + Mux(slicing, of_rest[:6].as_unsigned(), 0)
        + Mux(offered, next_burst.more + 1, 0)
    )
    room, freed = h.probe(f"{path}.room"), h.probe(f"{path}.freed")
    inner, front = h.probe(f"{path}.queue.inner_level"), h.probe(f"{path}.queue.r_rdy")
    pending = Mux(dut.request_valid, dut.request_more + 1, 0)
    h.prove("what is owed has its room", room + freed + inner + front + owed + pending == depth)
    h.prove("a beat is in front where there are two", front | (inner <= 1))
    has_front, has_spare = (h.probe(f"{path}.{name}") for name in ("has_front", "has_spare"))
    h.prove("what is spare is behind another one", ~has_spare | has_front)
    h.prove("no job is cut before it is asked for", ~h.probe(f"{path}.taken_cut"))
    next_job = Mux(taken_ask, (job.planes[: bits_for(MOST_PLANES)] * job.beats[:3])[:5], 0)
    h.prove("a job that is only asked for is on offer", ~taken_ask | dut.job_valid)
    supply = to_ask + pending + owed + inner + front + has_front + has_spare
    h.prove("as many beats are on their way as are wanted", came * supply + level == wanted + came * next_job)

    # The rank: words that are to be handed out.
    full, valid = (h.probe(f"{path}.words$62.{name}", 1) for name in ("full", "o__valid"))
    h.prove("a word waits behind another one", ~full | valid)
    rank = h.wire(Mux(cutting, (planes - 1)[:2] * each + left, 0) + full + valid, "rank")
    begun, given = dut.job_valid & dut.job_ready, dut.o_valid & dut.o_ready
    fresh = Mux(begun, job.planes[:2] * job.words[: bits_for(MOST_WORDS)], 0)
    due, quiet = h.past(rank + fresh - given), after_reset(h.m)
    h.prove("a job hands out as many words as it has", quiet | (rank == due[: len(rank)]))
    h.cover("the end of one job behind the beginning of another", begun & (rank == 1))
    return rank.any() | dut.job_valid, given | begun


def reader_ends(h: Harness) -> None:
    """Its steps."""
    busy, steps = reader(h)
    h.grant()
    h.prove("a step is made in time", lasts(h, busy & ~steps, READER_BOUND))
    h.cover("a step that takes as long", ~lasts(h, busy & ~steps, READER_BOUND - 1))


def read_port(h: Harness) -> None:
    """Two readers that ask through one port, and a memory that takes bursts and brings their beats."""
    dut, rules = reads(h)
    h.grant()
    owed = (rules.beats_0, rules.beats_1)
    h.assume(lasts(h, dut.memory_arvalid & ~dut.memory_arready, PATIENCE))
    h.assume(lasts(h, Cat(owed).any() & ~dut.memory_rvalid, PATIENCE))
    path = "dut.core.core"
    halted, chosen, turn = (
        h.probe(f"{path}.{name}", bits) for name, bits in (("halted", 1), ("chosen", 1), ("turn", 2))
    )
    moves = chosen & ~halted & (~dut.memory_arvalid | dut.memory_arready)
    for i, name in enumerate(("label", "beta")):
        waits = h.probe(f"{path}.{name}.request__valid", 1) & ~(moves & turn[i]) & ~(dut.halt | halted)
        h.prove(f"{name}: a burst is taken in time", lasts(h, waits, REQUEST_BOUND))
        h.cover(f"{name}: a burst that waits as long", ~lasts(h, waits, REQUEST_BOUND - 1))
    waits = dut.halt & ~dut.quiet & ~dut.memory_rvalid
    h.prove("halted, it is quiet when the last beat has come", lasts(h, waits, QUIET_BOUND))
    h.cover("it waits as long", ~lasts(h, waits, QUIET_BOUND - 1))


def planner(h: Harness) -> None:
    """The planner, and whoever takes its plans."""
    dut = h.place(Planner(PLANNED))
    state = h.probe("dut.core.fsm_state")
    taken, given, refused = dut.i_valid & dut.i_ready, dut.o_valid & dut.o_ready, dut.errors.any()
    h.assume(lasts(h, dut.o_valid & ~dut.o_ready, PATIENCE))
    begun = Signal(range(4))
    h.m.d.sync += begun.eq(begun + taken - given - refused)
    h.prove("it takes, counts or hands over", state <= 2)
    h.prove("what is handed over has been judged", (state != 2) | h.probe("dut.core.answered"))
    h.prove("each job ends once: it is handed over, or refused", begun == state.any() + refused)
    h.prove(f"within {PLANNER_BOUND} cycles", lasts(h, state.any() & ~given, PLANNER_BOUND))
    for i, name in enumerate(errors(PLANNED)):
        h.cover(f"it is refused: {name}", dut.errors[i])
    h.cover("a job of most rows is handed over", given & (dut.o_row_tiles == PLANNED.panel_rows // PLANNED.rows))


def writer(h: Harness) -> tuple[Value, Value]:
    """A writer of results, and a memory that takes bursts and answers them. Returns whether it has anything to do, and
    whether it makes a step."""
    dut, rules = writes(h)
    h.grant()
    path, burst, most = "dut.core.core", DESIGN.burst, outstanding(DESIGN)
    h.assume(lasts(h, dut.memory_awvalid & ~dut.memory_awready, PATIENCE))
    h.assume(lasts(h, dut.memory_wvalid & ~dut.memory_wready, PATIENCE))
    h.assume(lasts(h, rules.asked.any() & rules.sent.any() & ~dut.memory_bvalid, PATIENCE))
    gearbox = Gearbox(result_word_bits(DESIGN), DESIGN.bus_bits)
    gearbox._MustUse__silence = True
    held = gearbox_level(h, gearbox, f"{path}.gearbox")
    ending, ready = (h.probe(f"{path}.gearbox.{name}", 1) for name in ("ending", "o__valid"))
    h.prove("what ends holds something", ~ending | held.any())

    # Beats that wait: those of bursts that are collected, and those of one that is not.
    bits = exact_log2(burst)
    active, first, at, complete, taken = (
        h.probe(f"{path}.{name}") for name in ("active", "first", "at", "complete", "taken")
    )
    inner, front = (
        h.probe(f"{path}.beats.{name}", size) for name, size in (("inner_level", bits_for(2 * burst - 1)), ("r_rdy", 1))
    )
    waiting = h.wire(inner + front, "waiting")
    open_beats = h.wire(Mux(active, (at - first)[:bits], 0), "open_beats")
    h.prove("a beat is in front where there are two", front | (inner <= 1))
    # Of each burst that is collected, how many beats wait up to its last one. Its queue hands them out in their order,
    # see `order_queue`: so the one in front is a last one when it is the first burst's.
    sent, ends = dut.memory_wvalid & dut.memory_wready, h.probe(f"{path}.ends")
    bursts = Signal(range(most + 1))
    up_to = [Signal(range(2 * burst + 1), name=f"up_to_{k}", reset_less=True) for k in range(most)]
    in_front = bursts.any() & (up_to[0] == 1)
    h.assume(
        ~front
        | (h.probe(f"{path}.beats.r_data", DESIGN.bus_bits + DESIGN.bus_bits // gearbox.unit_bits + 1)[-1] == in_front)
    )
    goes, comes = sent & in_front, taken & ends
    h.m.d.sync += bursts.eq(bursts + comes - goes)
    for k, position in enumerate(up_to):
        following = up_to[k + 1] if k + 1 < most else waiting
        h.m.d.sync += position.eq(Mux(bursts - goes == k, waiting + 1, Mux(goes, following, position)) - sent)
    h.prove("it knows how many bursts are collected", bursts == complete)
    h.prove(
        "bursts end one after the other",
        Cat(
            (position > before) | (k >= bursts)
            for k, (before, position) in enumerate(zip([0, *up_to[:-1]], up_to, strict=True))
        ).all(),
    )
    behind = Array([*up_to, up_to[0]])[(bursts - 1)[: exact_log2(most)]]
    h.prove(
        "behind them are the beats of the one that is not",
        waiting == open_beats + Mux(bursts.any(), behind, 0),
    )

    # The jobs that are not done.
    level, due = (h.probe(f"{path}.{name}.level", bits_for(most)) for name in ("bursts", "answers"))
    consume = h.probe(f"{path}.answers.consume", exact_log2(most))
    last = [((i - consume)[: exact_log2(most)] < due) & h.probe(f"{path}.answers.storage[{i}]", 1) for i in range(most)]
    begun, failed = Signal(range(most + 3)), h.probe(f"{path}.failed")
    fresh = dut.job_valid & dut.job_ready
    h.m.d.sync += begun.eq(begun + fresh - dut.done)
    h.prove(
        "each job ends once: it is done, or an error was told of", failed | (begun == active + sum(last[1:], last[0]))
    )

    asked, answered = dut.memory_awvalid & dut.memory_awready, dut.memory_bvalid & dut.memory_bready
    row = dut.rows_valid & dut.rows_ready
    steps = taken + sent + asked + answered
    rank = h.wire(4 * held + waiting + level + due, "rank")
    most_left, quiet = h.past(rank + 4 * row - steps), after_reset(h.m)
    h.prove("each step brings the end nearer", quiet | (rank <= most_left))
    halt = dut.halt | h.probe(f"{path}.halted")
    busy = due.any() | ((ready & active | dut.rows_valid & (active | dut.job_valid)) & ~halt)
    h.cover("an error", failed)
    return busy, row | fresh | steps.any()


def writer_ends(h: Harness) -> None:
    """Its steps."""
    busy, steps = writer(h)
    h.grant()
    h.prove("a step is made in time", lasts(h, busy & ~steps, WRITER_BOUND))
    h.cover("a step that takes as long", ~lasts(h, busy & ~steps, WRITER_BOUND - 1))


def claims() -> list[Claim]:
    """All of them."""
    soon = f"after {PATIENCE} cycles at most"
    return [
        Claim(
            "ends_reader_words",
            f"A reader asks for exactly the beats that its job has, and hands out exactly as many words, where it has "
            f"{MOST_PLANES} planes of {MOST_WORDS} words at most, which is more than its queue has room for.",
            reader,
            Induction(1, reach=24),
            Bug("a beat that waits for the cutter stays", r"= take \? 1'h0 : has_spare;", "= has_spare;"),
        ),
        Claim(
            "ends_reader",
            f"A reader never stops: where its bursts are taken after {REQUEST_BOUND} cycles at most, their beats come "
            f"and its words are taken, each {soon}, it is never {READER_BOUND + 1} cycles without handing out a word "
            "or beginning a job, until there is none.",
            reader_ends,
            Induction(READER_BOUND + 3, reach=32),
            Bug("a burst is only asked for while a beat comes", r"~ rest\[(\d+)\];", r"~ rest[\1] & w_en;"),
        ),
        Claim(
            "ends_read_port",
            f"Readers behind a port never stop each other: where bursts are taken and beats come, each {soon}, a burst "
            f"of either of two readers is taken after {REQUEST_BOUND} cycles at most; and a port that is halted is "
            f"quiet {QUIET_BOUND} cycles after the last beat at most.",
            read_port,
            Induction(10, reach=16),
            Bug("whoever was the last is asked again", r"turn <= .*;", "turn <= turn;"),
        ),
        Claim(
            "ends_writer_bursts",
            "Each job that a writer of results takes ends once: it is done when the last of its bursts is answered, or "
            "an error was told of. Rows wait in it as beats, bursts and answers, and each step brings all of them "
            "nearer to their end.",
            writer,
            Induction(1, reach=12),
            Bug("every burst but the last ends a job", r"(= \\r_en\$\d+  &) (\\r_data\$\d+ ;)", r"\1 ~ \2"),
        ),
        Claim(
            "ends_writer",
            f"A writer of results never stops: where the memory takes addresses and data and answers, each {soon}, it "
            f"is never {WRITER_BOUND + 1} cycles without a step while a row waits or a burst is not answered; halted "
            "as well, until it is quiet.",
            writer_ends,
            Induction(WRITER_BOUND + 2, reach=16),
            Bug("the last burst waits for another one", r"= \| complete;", "= complete > 1'h1;"),
        ),
        Claim(
            "ends_planner",
            "Each job that the planner takes ends once: it is handed over, or refused for a reason that it tells of, "
            f"after {PLANNER_BOUND} cycles at most for three row tiles, if its consumer takes it {soon}.",
            planner,
            Induction(PLANNER_BOUND + 3, reach=12),
            Bug(
                "a job of too many words is dropped without a word",
                r"assign dropped\[2\] = .*;",
                "assign dropped[2] = 1'h0;",
            ),
        ),
    ]
