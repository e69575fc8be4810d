"""Claims that what goes into a stream unit comes out: none lost, none doubled, in its order.

A proof watches one word that the solver picks at any moment, and counts what is in front of it. Where one word, picked
freely, comes out as it went in, after those in front of it and no others, all of them do.
"""

from functools import partial

from amaranth import Array, Mux, Signal
from amaranth.utils import bits_for

from hw.axi.gearbox import Gearbox
from hw.streams import BlockQueue
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness
from sim.formal.methods import Induction
from sim.formal.rules import after_reset
from sim.formal.streams import Fork, gearbox_level

WIDTHS = ((24, 16), (16, 24), (32, 8), (8, 32))
"""Widths of the two sides of gearboxes."""


def through_gearbox(widths: tuple[int, int], h: Harness) -> None:
    """A unit of bits, the greatest common divisor of both sides, on its way through; nothing is dropped."""
    gearbox = Gearbox(*widths)
    unit, came, leave = gearbox.unit_bits, widths[0] // gearbox.unit_bits, widths[1] // gearbox.unit_bits
    dut = h.place(gearbox, drop=0)
    full = gearbox_level(h, gearbox)
    held, ending = (h.probe(f"dut.core.{name}") for name in ("held", "ending"))
    capacity = len(held) // unit
    taken, given = dut.i_valid & dut.i_ready, dut.o_valid & dut.o_ready
    units_out = sum((dut.o_units[k] for k in range(leave)), Signal(1, name="none"))

    picked, pick = h.free("picks"), h.free("pick", range(max(2, came)))
    h.assume(pick < came)
    watching, place = Signal(), Signal(range(capacity + came + 1))
    content = Signal(unit, reset_less=True)
    arrives = taken & picked & ~watching
    here = given & watching & (place < leave)
    with h.m.If(arrives):
        h.m.d.sync += [
            watching.eq(1),
            place.eq(full - Mux(given, units_out, 0) + pick),
            content.eq(Array(dut.i_data[k * unit : (k + 1) * unit] for k in range(came))[pick]),
        ]
    with h.m.Elif(here):
        h.m.d.sync += watching.eq(0)
    with h.m.Elif(given):
        h.m.d.sync += place.eq(place - units_out)

    leaving = Array(dut.o_data[k * unit : (k + 1) * unit] for k in range(leave))[place[:2]]
    h.prove("it comes out as it went in", ~here | (leaving == content))
    h.prove("and is marked", ~here | Array(dut.o_units)[place[:2]])
    inside = Array(held[k * unit : (k + 1) * unit] for k in range(capacity))[place]
    h.prove("until then it is in its place", ~watching | ((place < full) & (inside == content)))
    h.prove("a word is whole, or the last", ~dut.o_valid | ending | dut.o_units.all())
    h.prove("what ends holds something", ~ending | full.any())
    h.prove("the last one ends it", ~(given & dut.o_last) | (full == units_out))
    h.cover("a unit waits behind a whole word", watching & (place >= leave) if capacity > leave else watching)
    h.cover("a last word that is not whole", given & ~dut.o_units.all() if leave > 1 else given & dut.o_last)


def to_both(h: Harness) -> None:
    """How often each consumer has taken, against how often the source has given: by one more at most, once each."""
    dut = h.place(Fork())
    given, ahead = dut.i_valid & dut.i_ready, {}
    waits, offered = Signal(), h.past(dut.i_payload)
    h.m.d.sync += waits.eq(dut.i_valid & ~dut.i_ready)
    h.assume(~waits | (dut.i_valid & (dut.i_payload == offered)))
    for name in "ab":
        taken = getattr(dut, f"{name}_valid") & getattr(dut, f"{name}_ready")
        ahead[name] = Signal(4, name=f"ahead_{name}")
        h.m.d.sync += ahead[name].eq(ahead[name] + taken - given)
        h.prove(f"the source waits while {name} is ahead", ~ahead[name].any() | waits)
        h.prove(f"{name} is ahead by one at most", ahead[name] <= 1)
        h.prove(f"{name} knows it", ahead[name] == h.probe(f"dut.core.taken_{name}"))
        h.prove(f"{name} has all when the source goes on", ~given | (ahead[name] + taken == 1))
        h.prove(f"{name} takes what is given", ~taken | (getattr(dut, f"{name}_payload") == dut.i_payload))
    h.cover("one is ahead", ahead["a"].any() & ~ahead["b"].any())


def through_queue(depth: int, h: Harness) -> None:
    """A word on its way through a queue in a block memory."""
    width, places = 2, depth - 1
    dut, path = h.place(BlockQueue(width, depth)), "dut.core"
    inner = h.probe(f"{path}.inner_level", bits_for(places))
    head, tail = (h.probe(f"{path}.{name}", bits_for(places - 1)) for name in ("head", "$signature__addr"))
    end = h.wire(head + inner, "end")
    h.prove("it says how many it holds", (dut.level == inner + dut.r_rdy) & (inner <= places))
    h.prove("a word is in front where there are two", dut.r_rdy | (inner <= 1))
    h.prove("words lie between its ends", (head < places) & (tail == Mux(end < places, end, end - places)))
    taken, given = dut.w_en & dut.w_rdy, dut.r_en & dut.r_rdy

    watching, place = Signal(), Signal(range(depth + 1))
    content = Signal(width, reset_less=True)
    arrives, here = taken & h.free("picks") & ~watching, given & watching & (place == 0)
    with h.m.If(arrives):
        h.m.d.sync += [watching.eq(1), place.eq(dut.level - given), content.eq(dut.w_data)]
    with h.m.Elif(here):
        h.m.d.sync += watching.eq(0)
    with h.m.Elif(given):
        h.m.d.sync += place.eq(place - 1)
    h.prove("it comes out as it went in", ~here | (dut.r_data == content))
    at = h.wire(head + place - dut.r_rdy, "at")
    memory = Array(h.probe(f"{path}.memory[{i}]", width) for i in range(places))
    inside = memory[h.wire(Mux(at < places, at, at - places)[: len(head)], "inside")]
    in_front = dut.r_rdy & (place == 0)
    h.prove(
        "until then it is in its place",
        ~watching | ((place < dut.level) & (Mux(in_front, dut.r_data, inside) == content)),
    )
    next_one = h.past(inner.any() & (given | ~dut.r_rdy))
    h.prove("the next one comes to the front in a cycle", after_reset(h.m) | ~next_one | dut.r_rdy)
    h.cover("a word waits behind others", watching & (place > 2))


def claims() -> list[Claim]:
    """All of them."""
    found = [
        Claim(
            f"order_gearbox_{a}_to_{b}",
            f"Every unit of bits that goes into a gearbox from {a} to {b} bits comes out of it once, in its order, "
            "whatever the pauses; a word is whole but for the last one.",
            partial(through_gearbox, (a, b)),
            Induction(1, reach=8),
            Bug("it lets words go that nobody takes", r"assign leaves = .*;", "assign leaves = o__valid;"),
        )
        for a, b in WIDTHS
    ]
    return [
        *found,
        Claim(
            "order_fork",
            "What hands a stream to two consumers gives every transfer to each of them once, whatever their pauses.",
            to_both,
            Induction(1, reach=6),
            Bug("it forgets who has taken", r"taken_a <= .*;", "taken_a <= 1'h0;"),
        ),
        Claim(
            "order_queue",
            "Every word that goes into a queue in a block memory comes out of it once, in its order, whatever the "
            "pauses.",
            partial(through_queue, 32),
            Induction(1, reach=8),
            Bug(
                "a word is fetched before the one in front is gone", r"assign get = .*;", "assign get = | inner_level;"
            ),
        ),
    ]
