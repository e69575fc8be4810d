"""Claims that queues give back the words that were put in: none lost, none doubled, in their order, in time.

A proof counts the words that are inside, and watches one of them, which the solver picks as it comes: it has to come
out after those that are in front of it, and no others, as it went in.
"""

from collections.abc import Sequence
from functools import partial

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.hdl import ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.streams import BlockQueue, Queue, Skid
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction

BITS = 2
"""Of a word: what is done with it hangs on no width."""


class Fifo(wiring.Component):
    """`amaranth.lib.fifo.SyncFIFO` between two streams."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        super().__init__({"i": In(stream.Signature(BITS)), "o": Out(stream.Signature(BITS))})

    def elaborate(self, platform: object) -> Module:
        """Wires."""
        m = Module()
        m.submodules.queue = queue = SyncFIFO(width=BITS, depth=self.depth)
        wiring.connect(m, wiring.flipped(self.i), queue.w_stream)
        wiring.connect(m, queue.r_stream, wiring.flipped(self.o))
        return m


def counted(h: Harness, came: Value, went: Value, most: int) -> Signal:
    """How many words are inside: those that came and did not go."""
    inside = Signal(range(most + 2), name="inside")
    h.m.d.sync += inside.eq(inside + came - went)
    return inside


def in_order(
    h: Harness,
    inside: Signal,
    into: tuple[Value, Value],
    out_of: tuple[Value, Value],
    known: ValueLike,
    held: Sequence[Value],
) -> tuple[Value, Value]:
    """What goes into a unit comes out of it; returns whether a word comes that is watched from now on, and whether that
    word is at the front.

    Parameters
    ----------
    h : Harness
    inside : Signal
        As `counted` has it.
    into, out_of : pair of Value
        Whether a word comes or goes, and the word.
    known : value
        How many words the unit itself says it holds.
    held : sequence of Value
        What it holds if it is full, the oldest word first.
    """
    (came, word), (went, leaving) = into, out_of
    picked, watching = h.free("picks"), Signal()
    place = Signal(range(len(held)))
    content = Signal(len(word), reset_less=True)
    arrives, here = came & picked & ~watching, went & watching & ~place.any()
    with h.m.If(arrives):
        h.m.d.sync += [watching.eq(1), place.eq(inside - went), content.eq(word)]
    with h.m.Elif(here):
        h.m.d.sync += watching.eq(0)
    with h.m.Elif(went):
        h.m.d.sync += place.eq(place - 1)
    h.prove("nothing comes out that did not go in", ~went | inside.any())
    h.prove("it holds what went in and did not come out", (inside == known) & (inside <= len(held)))
    h.prove("a word comes out as it went in", ~here | (leaving == content))
    h.prove("until then it is in its place", ~watching | ((place < inside) & (Array(held)[place] == content)))
    h.cover("it is full, and its last word is watched", watching & (inside == len(held)) & (place == len(held) - 1))
    return arrives, watching & ~place.any()


def in_time(h: Harness, watched: tuple[Value, Value], valid: Value, latency: int) -> None:
    """A word that `in_order` watches is on offer so many cycles after it came, or as soon as those before it left."""
    (arrives, front), age = watched, Signal(range(latency + 1))
    h.m.d.sync += age.eq(Mux(arrives, 1, Mux(age == latency, age, age + 1)))
    h.prove("the age of a word", age <= latency)
    h.prove(f"a word is on offer {latency} cycles after it came", ~front | valid | (age < latency))


def fifo(depth: int, h: Harness) -> None:
    """A queue of Amaranth's."""
    dut, path = h.place(Fifo(depth)), "dut.core.queue"
    came, went = dut.i_valid & dut.i_ready, dut.o_valid & dut.o_ready
    inside = counted(h, came, went, depth)
    words, head, level = memory(h, f"{path}.storage", depth), Value.cast(0), dut.o_valid
    if depth > 1:
        head, tail, level = (h.probe(f"{path}.{name}") for name in ("consume", "produce", "level"))
        h.prove("its ends", (head < depth) & (tail == around(head + level, depth)))
    watched = in_order(h, inside, (came, dut.i_payload), (went, dut.o_payload), level, ring(words, head))
    in_time(h, watched, dut.o_valid, 1)
    h.prove("it takes words until it is full", dut.i_ready == (inside < depth))


def block_queue(depth: int, h: Harness) -> None:
    """A queue in a block memory."""
    dut, path, inner = h.place(BlockQueue(BITS, depth)), "dut.core", depth - 1
    came, went = dut.w_en & dut.w_rdy, dut.r_en & dut.r_rdy
    inside = counted(h, came, went, depth)
    words, head, level = memory(h, f"{path}.memory", inner), Value.cast(0), h.probe(f"{path}.inner_level")
    if inner > 1:
        head, tail = h.probe(f"{path}.head"), h.probe(f"{path}.$signature__addr", bits_for(inner - 1))
        h.prove("its ends", (head < inner) & (level <= inner) & (tail == around(head + level, inner)))
    behind = ring(words, head)
    held = [
        Mux(dut.r_rdy, behind[k - 1] if k else dut.r_data, behind[k] if k < inner else dut.r_data) for k in range(depth)
    ]
    watched = in_order(h, inside, (came, dut.w_data), (went, dut.r_data), level + dut.r_rdy, held)
    in_time(h, watched, dut.r_rdy, 2)
    h.prove("it takes words until all places are full but the one at its output", dut.w_rdy == (level < inner))
    h.prove("its level", dut.level == inside)


def trusting(depth: int, h: Harness) -> None:
    """A queue that trusts its user, who keeps the rules."""
    dut, path = h.place(Queue(BITS, depth)), "dut.core"
    inside = counted(h, dut.push, dut.pop, depth)
    h.assume(~dut.pop | dut.valid)
    h.assume(~dut.push | (inside < depth) | dut.pop)
    if depth == 1:
        known, held = dut.valid, [dut.q]
    elif depth == 2:
        known, held = h.probe(f"{path}.count"), [dut.q, h.probe(f"{path}.second")]
    else:
        head, waiting, fetched = (h.probe(f"{path}.{name}") for name in ("head", "waiting", "filled"))
        tail, pushed, word = (
            h.probe(f"{path}.$signature__{name}", bits)
            for name, bits in (("addr", len(head)), ("en", 1), ("data", BITS))
        )
        h.prove("its ends", tail == (head + waiting)[: len(head)])
        known = h.wire(waiting + dut.valid + fetched + pushed)
        stored = ring(memory(h, f"{path}.memory", depth), head)
        behind = [Mux(waiting > k, stored[k], word) for k in range(depth)]
        behind = [Mux(fetched, before, here) for before, here in _shifted(h.probe(f"{path}.read__data"), behind)]
        held = [Mux(dut.valid, before, here) for before, here in _shifted(dut.q, behind)]
    watched = in_order(h, inside, (dut.push, dut.d), (dut.pop, dut.q), known, held)
    in_time(h, watched, dut.valid, min(Queue.LATENCY, depth))


def skid(h: Harness) -> None:
    """Two registers in the way of a stream."""
    dut = h.place(Skid(BITS))
    came, went = dut.i_valid & dut.i_ready, dut.o_valid & dut.o_ready
    inside, full = counted(h, came, went, 2), h.probe("dut.core.full")
    held = [dut.o_payload, h.probe("dut.core.spare")]
    watched = in_order(h, inside, (came, dut.i_payload), (went, dut.o_payload), dut.o_valid + full, held)
    in_time(h, watched, dut.o_valid, 1)
    h.prove("it takes words until it is full", dut.i_ready == (inside < 2))


def memory(h: Harness, path: str, depth: int, bits: int = BITS) -> list[Value]:
    """The words of a memory."""
    return [h.probe(f"{path}[{i}]", bits) for i in range(depth)]


def around(place: Value, depth: int) -> Value:
    """A place less than twice the depth, in a memory that begins again at its end."""
    return Mux(place >= depth, place - depth, place)


def ring(words: list[Value], head: Value) -> list[Value]:
    """Words from the head on."""
    return [Array(words)[around(head + k, len(words))] for k in range(len(words))]


def _shifted(first: Value, words: list[Value]) -> list[tuple[Value, Value]]:
    """Each word's place with another word in front of all, and without."""
    return list(zip([first, *words[:-1]], words, strict=True))


QUEUES = (
    (
        "fifo",
        "a queue of Amaranth's",
        fifo,
        dict.fromkeys((1, 2, 3, 4, 8), Bug("words go that nobody takes", "r_rdy & r_en", "r_rdy")),
    ),
    (
        "block",
        "a queue in a block memory",
        block_queue,
        dict.fromkeys(
            (2, 3, 4, 32, 64), Bug("words go that nobody takes", r"assign get = (.*) & .*;", r"assign get = \1;")
        ),
    ),
    (
        "trusting",
        "a queue that trusts its user",
        trusting,
        {
            1: Bug("a word stays that was taken", "= ~ pop;", "= 1'h1;"),
            2: Bug("the second word is taken for the first", "count == 2'h2", "count == 2'h1"),
            4: Bug("words go that nobody takes", r"assign move = filled & .*;", "assign move = filled;"),
        },
    ),
)
"""Queues: what their claims are called, what they are, and the bug that is planted in one of each depth."""


def claims() -> list[Claim]:
    """All of them."""
    found = [
        Claim(
            f"queue_{name}_{depth}",
            f"Every word that goes into {what}, with {depth} place{'s' * (depth != 1)}, comes out of it once, in its "
            "order, whatever the pauses, and is at the front when it should be.",
            partial(build, depth),
            # As long as a word may take to the front; and until all places can be full.
            Induction(Queue.LATENCY if build is trusting else 1, reach=max(10, depth + 4)),
            bug,
        )
        for name, what, build, bugs in QUEUES
        for depth, bug in bugs.items()
    ]
    return [
        *found,
        Claim(
            "queue_skid",
            "Every word that goes into the two registers in the way of a stream comes out of them once, in its order, "
            "and is at the front a cycle later, whatever the pauses.",
            skid,
            Induction(1, reach=6),
            Bug("it does not wait for its consumer", r"assign moves = .*;", "assign moves = 1'h1;"),
        ),
    ]
