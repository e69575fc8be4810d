"""Claims on the rotator: its signs, its sums and differences, and how it uses the queues between its blocks."""

from collections.abc import Sequence
from functools import partial

from amaranth import Cat, Mux, Signal, Value, signed

from golden.frontend import FrontEndRules
from golden.lattice import DIM
from hw.codec.hadamard import Rotator, rotating
from hw.streams import Queue
from hw.values import register
from sim.formal.arithmetic import Implication, total
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness, lanes
from sim.formal.methods import Induction, Window
from sim.formal.queues import counted

STEPS = (1, 2, 4)
"""Distances of what is added and subtracted, in their order."""


def within(h: Harness, before: Sequence[Value], out: Sequence[Value]) -> None:
    """The three stages within a block, each from the registers before it, and what comes out of them."""
    for k in STEPS:
        after = [h.probe(f"dut.core.within_{k}_{j}").as_signed() for j in range(DIM)]
        for j in range(DIM):
            made = before[j ^ k] - before[j] if j & k else before[j] + before[j ^ k]
            h.prove(f"step {k}, {j}", after[j] == h.past(made))
        before = after
    h.prove("the last step comes out", Cat(a == b for a, b in zip(out, before, strict=True)).all())


def rotated(rules: FrontEndRules, h: Harness) -> None:
    """The signs; and the three stages of sums and differences, each from the registers before it."""
    dut = h.place(Rotator(rules))
    x, most = lanes(dut.i_x, rules.raw_bits), (1 << (rules.raw_bits - 1)) - 1
    before = [h.probe(f"dut.core.signed_{i}").as_signed() for i in range(DIM)]
    for i, (v, sign) in enumerate(zip(x, dut.seed[:DIM], strict=True)):
        h.prove(f"sign {i}", before[i] == h.past(Mux(sign, Mux(-v > most, most, -v), v), 2))
    within(h, before, lanes(dut.o_w, rules.word_bits))
    latency = rotating(rules)
    h.prove("last comes with it", dut.o_last == h.past(dut.i_last, latency))
    h.prove("valid comes with it", dut.o_valid == h.past(dut.i_valid, latency))
    h.cover("the least number, negated", h.past(dut.seed[0] & (x[0] == -most - 1), 2))


def rotated_pairs(rules: FrontEndRules, h: Harness) -> None:
    """The signs of both blocks of a segment; their sum and their difference; the stages within a block."""
    dut, m = h.place(Rotator(rules)), h.m
    x, most = lanes(dut.i_x, rules.raw_bits), (1 << (rules.raw_bits - 1)) - 1
    h.assume(~dut.i_valid | dut.beat)

    def late(value: Value, cycles: int) -> Value:
        return register(m, "late", value, cycles=cycles, reset_less=False)

    second, later = Signal(name="second"), Signal(DIM, name="signs_later", reset_less=True)
    with m.If(dut.i_valid):
        m.d.sync += second.eq(~second)
        with m.If(~second):
            m.d.sync += later.eq(dut.seed[DIM : 2 * DIM])
    h.prove("it knows which block comes", h.probe("dut.core.$signal", 1) == second)
    h.prove("and its signs", ~second | (h.probe("dut.core.signs_left")[:DIM] == later))
    words = [h.probe(f"dut.core.signed_{i}").as_signed() for i in range(DIM)]
    flags = {"valid": dut.i_valid, "beat": dut.beat}
    for name in ("", "_d1"):
        flags = {field: late(value, 1) for field, value in flags.items()}
        known = Cat(h.probe(f"dut.core.signed_{field}{name}") == value for field, value in flags.items()).all()
        h.prove(f"a block comes with a beat{name}", known & (~flags["valid"] | flags["beat"]))
    (valid, beat), last = flags.values(), h.past(dut.i_last, 2)
    for i, (v, sign) in enumerate(zip(x, Mux(second, later, dut.seed[:DIM]), strict=True)):
        h.prove(f"sign {i}", ~valid | (words[i] == h.past(Mux(sign, Mux(-v > most, most, -v), v), 2)))

    # The queue keeps the first block, and then the difference.
    place, waits, ends = (Signal(name=name) for name in ("place", "waits", "ends"))
    gives = ~place & waits & beat
    kept = [Signal(signed(len(v) + 1), name=f"kept_{i}", reset_less=True) for i, v in enumerate(words)]
    m.d.sync += waits.eq((valid & place) | (waits & ~gives))
    with m.If(valid):
        m.d.sync += [place.eq(~place), ends.eq(Mux(place, last, ends))]
        m.d.sync += [k.eq(Mux(place, k - v, v)) for k, v in zip(kept, words, strict=True)]
    h.prove("a difference is out before the next one is there", ~(place & waits))
    h.prove("and its place in its segment", h.probe("dut.core.between_1_position") == place)
    h.prove("and whether a difference is", h.probe("dut.core.between_1_left") == waits)
    h.prove("and whether a row ends with it", ~waits | (h.probe("dut.core.between_1_is_last") == ends))
    held = lanes(h.probe("dut.core.between_1.q"), rules.raw_bits + 1)
    there = late(place | waits, 1)
    h.prove("it is kept", ~there | Cat(a == h.past(k) for a, k in zip(held, kept, strict=True)).all())
    before = [h.probe(f"dut.core.between_1_{i}").as_signed() for i in range(DIM)]
    comes = late((valid & place) | gives, 2)
    h.prove("a sum comes out, and its difference, and nothing else", h.probe("dut.core.between_1_valid") == comes)
    for i, (k, v) in enumerate(zip(kept, words, strict=True)):
        made = h.wire(Mux(place, k + v, k)[: len(k)].as_signed(), f"made_{i}")
        h.prove(f"sum or difference {i}", ~comes | (before[i] == h.past(made, 2)))
    within(h, before, lanes(dut.o_w, rules.word_bits))
    row_ends = h.past(gives & ends, 2)
    h.prove("a row ends with the difference", ~comes | (h.probe("dut.core.between_1_is_row_end") == row_ends))
    inner = [[h.probe(f"dut.core.within_{field}{name}") for field in ("valid", "last")] for name in ("", "_d1")]
    for k, (there, ends) in zip(STEPS, [*inner, (dut.o_valid, dut.o_last)], strict=True):
        comes, row_ends = late(comes, 1), h.past(row_ends)
        h.prove(f"valid comes with step {k}", there == comes)
        h.prove(f"last comes with step {k}", ~there | (ends == row_ends))
    h.cover("segments without a gap", gives & valid)
    h.cover("a difference that comes out alone", gives & ~valid)


def signed_sums(length: int, number: str) -> Implication:
    """What the stages make of so many numbers."""
    names, facts, before = [f"x{i}" for i in range(length)], {}, "x"
    steps = (*(k for k in range(length // 2, DIM - 1, -1) if not k & (k - 1)), *STEPS)
    for step, (k, kind) in enumerate(zip(steps, "abcd", strict=False), 1):
        sums = [
            f"(- {before}{j ^ k} {before}{j})" if j & k else f"(+ {before}{j} {before}{j ^ k})" for j in range(length)
        ]
        facts[f"stage {step}"] = f"(and {' '.join(f'(= {kind}{j} {made})' for j, made in enumerate(sums))})"
        before = kind
    terms = [[f"(- {n})" if (i & j).bit_count() & 1 else n for i, n in enumerate(names)] for j in range(length)]
    goal = f"(and {' '.join(f'(= {before}{j} {total(term)})' for j, term in enumerate(terms))})"
    return Implication(
        f"rotator_{length}",
        f"From rotator_{length}_stages follows: word j that comes out is the sum of the {number} coordinates x_i with "
        "their signs, negated where i and j have an odd number of ones in common.",
        facts,
        goal,
        "stage 2",
    )


def queues_used(rules: FrontEndRules, h: Harness) -> None:
    """What a user of queues has to see to, for each of them: a word that is watched is as old as it has to be."""
    dut = h.place(Rotator(rules))
    h.assume(~dut.i_valid | dut.beat)
    h.prove("a block comes in with a beat", ~h.probe("dut.core.signed_valid") | h.probe("dut.core.signed_beat"))
    valid, beat = h.probe("dut.core.signed_valid_d1"), h.probe("dut.core.signed_beat_d1")
    depth = rules.segment_blocks // 2
    while depth:
        name = f"between_{depth}"
        position, left, push, pop = (
            h.probe(f"dut.core.{name}_{signal}") for signal in ("position", "left", "push", "out")
        )
        inside, second = counted(h, push, pop, depth), position >= depth
        soon = h.wire(Mux(second, depth, left + position), f"{name}_soon")
        h.prove(f"{name}: a block comes with a beat", ~valid | beat)
        h.prove(f"{name}: differences are gone before the next ones come", Mux(second, left == 0, soon <= depth))
        h.prove(f"{name}: its queue holds what its places say", inside + push == soon + pop)

        watching, place = Signal(name=f"{name}_watching"), Signal(range(depth), name=f"{name}_place")
        age, stays = Signal(range(depth + 1), name=f"{name}_age"), watching & (place >= pop)
        with h.m.If(push & ~watching & h.free(f"{name}_picks")):
            h.m.d.sync += [watching.eq(1), place.eq(inside - pop), age.eq(1)]
        with h.m.Else():
            h.m.d.sync += [watching.eq(stays), place.eq(place - pop), age.eq(Mux(age == depth, age, age + 1))]
        old = {"that comes": (push, inside, Value.cast(0)), "that is watched": (stays, place, age)}
        for which, (there, ahead, cycles) in old.items():  # and how long it is inside
            behind = Mux(second | (ahead - pop < left), depth, soon) - 1 - (ahead - pop)
            h.prove(f"{name}: those behind the word {which} came after it, one by one", ~there | (cycles >= behind))
        h.prove(f"{name}: what is watched is inside", ~watching | (place < inside) & (age <= depth))
        front = watching & ~place.any()
        h.prove(
            f"{name}: the word that is taken is in time at the front",
            ~(pop & front) | (age >= min(Queue.LATENCY, depth)),
        )
        h.prove(f"{name}: there is one", ~pop | inside.any())
        h.prove(f"{name}: there is a place for what comes", ~push | (inside < depth) | pop)
        h.cover(f"{name}: a word comes when all places are taken", push & (inside == depth))
        h.cover(f"{name}: the last difference goes", pop & front & ~push & (inside == 1))
        depth //= 2
        if depth:
            h.prove(f"{name}: it goes with one", ~pop | h.probe(f"dut.core.{name}_beat"))
            valid, beat = h.probe(f"dut.core.{name}_valid"), h.probe(f"dut.core.{name}_beat_d1")


def claims() -> list[Claim | Implication]:
    """All of them."""
    found: list[Claim | Implication] = []
    rules = FrontEndRules(length=8)
    found.append(
        Claim(
            "rotator_8_stages",
            f"The rotator of segments of eight coordinates of {rules.raw_bits} bits takes the seed's signs, −x of the "
            "least number being the greatest, and three stages of exact sums and differences, for every block.",
            partial(rotated, rules),
            Window(rotating(rules)),
            Bug("a sum in place of a difference", r"(signed\(within_1_0\)) - ", r"\1 + "),
        )
    )
    found.append(signed_sums(8, "eight"))
    rules = FrontEndRules(length=16)
    found.append(
        Claim(
            "rotator_16_stages",
            "The rotator of segments of two blocks takes the seed's signs for either, one after the other. The sum of "
            "the blocks comes out, in the rhythm of the second one, then their difference, at the next beat, each "
            "through three stages of exact sums and differences; nothing else does; whatever the gaps.",
            partial(rotated_pairs, rules),
            Induction(3, reach=rotating(rules) + 6),
            Bug("a difference comes out again and again", r"= between_1_left - 1'h1;", "= between_1_left;"),
        )
    )
    found.append(signed_sums(16, "sixteen"))
    rules = FrontEndRules(length=64)
    found.append(
        Claim(
            "rotator_64_queues",
            "The rotator of segments of eight blocks keeps to the rules of its queues, whatever the gaps: it takes no "
            "word that is not there, or not there for as long as a queue may need, and puts none where there is no "
            "place.",
            partial(queues_used, rules),
            Induction(1, reach=2 * rotating(rules)),
            Bug("a difference comes out again and again", r"= between_2_left - 1'h1;", "= between_2_left;"),
        )
    )
    return found
