"""Claims on the encoder's search for the nearest point."""

from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

from amaranth import Cat, Mux, Value

import golden.lattice
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.lattice import DIM, INFORMATION, REDUNDANT, minimal_vectors
from golden.voronoi import decode_lanes, encode_lanes, reduce_lanes
from hw.codec.encoder import Candidate
from sim.formal.arithmetic import Implication
from sim.formal.choosing import at_end
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness, lanes
from sim.formal.methods import Window
from sim.formal.nearest import FRACTIONS, SUMMANDS

TIE = Bug(
    "of two equally cheap pairs the upper one is turned over", "turn_even_1 < turn_even_0", "turn_even_1 <= turn_even_0"
)

OUTSIDE = Bug("a point beyond ±q is not seen to be there", "outside_d1 <= outside;", "outside_d1 <= 1'h0;")

DEAR = Bug("the dearer of two pairs is turned over", "turn_even_1 < turn_even_0", "turn_even_1 > turn_even_0")

POINT = 8
"""Cycles from coordinates to the nearest point, which is then decoded."""


def decisions(rules: FrontEndRules, h: Harness) -> None:
    """What golden gives to its soft decoder, and what it makes of the codeword that it gets from it."""
    dut = h.place(Candidate(rules))
    word = [h.probe(f"dut.core.word_{i}") for i in range(DIM)]
    given: list[Any] = []

    def decode(hard: Any, reliability: Any) -> list[Any]:
        given.extend((hard, reliability))
        return [h.golden(bit, "?") for bit in word]

    z = lanes(dut.z, rules.candidate_bits)
    kind = "i2" if rules.candidate_bits < 15 else "i4"  # golden's own type is wider
    with mock.patch.object(golden.lattice, "soft_decode", decode):
        now: list[Any] = [h.golden(lane, kind) for lane in z]
        golden.lattice.nearest_lanes(now, unit=1 << rules.fraction_bits, dtype=kind)
        before: list[Any] = [h.golden(h.past(lane, POINT - 1), kind) for lane in z]
        point: list[Any] = golden.lattice.nearest_lanes(before, unit=1 << rules.fraction_bits, dtype=kind)
    hard, reliability = given[:2]
    for i in range(DIM):
        cost, decision = h.probe(f"dut.core.cost_{i}"), h.probe(f"dut.core.hard_{i}")
        h.prove(f"the hard decision {i} is golden's", decision == h.past(hard[i].value))
        h.prove(f"its reliability is half of golden's, {i}", cost << 1 == h.past(reliability[i].value))
        p = h.probe(f"dut.core.p_{i}")
        h.prove(f"coordinate {i} is golden's, modulo 4q", p == h.past(point[i].value)[: len(p)])
    h.cover("a codeword of ones", Cat(word).all())


def codewords(rules: FrontEndRules, h: Harness) -> None:
    """From the registers of decisions to those of the codeword."""
    h.place(Candidate(rules))
    hard: list[Any] = [h.golden(h.probe(f"dut.core.hard_{i}"), "?") for i in range(DIM)]
    cost: list[Any] = [h.golden(h.probe(f"dut.core.cost_{i}"), "i2") for i in range(DIM)]
    assert SUMMANDS << rules.fraction_bits < 1 << 15, "sums of so many costs fit the type"
    word: list[Any] = golden.lattice.soft_decode(hard, cost)
    for i in range(DIM):
        h.prove(f"bit {i} is golden's", h.probe(f"dut.core.word_{i}") == h.past(word[i].value, POINT - 2))
    h.cover("a codeword of ones", Cat(h.probe(f"dut.core.word_{i}") for i in range(DIM)).all())


def reduced(rules: FrontEndRules, h: Harness) -> None:
    """From the registers of the point on."""
    dut = h.place(Candidate(rules))
    point: list[Any] = [h.golden(h.probe(f"dut.core.p_{i}").as_signed(), "i2") for i in range(DIM)]
    least: list[Any] = reduce_lanes(point, rules.format.q)
    parity = golden.lattice.codeword([point[i].value[0] for i in INFORMATION])
    h.assume(Cat(parity[i] == point[i].value[0] for i in REDUNDANT).all())
    overload = h.wire(Cat((a != b).value for a, b in zip(point, least, strict=True)).any())
    later = [h.past(lane.value, Candidate.LATENCY - POINT) for lane in least]
    y = lanes(dut.y, rules.format.point_bits)
    h.prove("y is golden's", Cat(a == b for a, b in zip(y, later, strict=True)).all())
    h.prove("overload is golden's", dut.overload == h.past(overload, Candidate.LATENCY - POINT))
    h.cover("overload", dut.overload)
    h.cover("no overload", ~dut.overload)


def overloaded(rules: FrontEndRules, h: Harness) -> None:
    """From coordinates, and the registers of the codeword, on; golden's point has as many bits as it needs."""
    dut = h.place(Candidate(rules))
    word = [h.probe(f"dut.core.word_{i}") for i in range(DIM)]
    parity = golden.lattice.codeword([word[i] for i in INFORMATION])
    h.assume(Cat(parity[i] == word[i] for i in REDUNDANT).all())
    before: list[Any] = [h.golden(h.past(lane, POINT - 1), "i2") for lane in lanes(dut.z, rules.candidate_bits)]
    with mock.patch.object(golden.lattice, "soft_decode", lambda *_: [h.golden(bit, "?") for bit in word]):
        point: list[Any] = golden.lattice.nearest_lanes(before, unit=1 << rules.fraction_bits, dtype="i2")
    label: Any = encode_lanes(point, rules.format.q)
    found: list[Any] = decode_lanes(label, rules.format.q)
    differs = h.wire(Cat((a != b).value for a, b in zip(point, found, strict=True)).any())
    h.prove("overload is golden's", dut.overload == h.past(differs, Candidate.LATENCY - POINT + 1))
    y = [h.golden(lane, "i1") for lane in lanes(dut.y, rules.format.point_bits)]
    same: Any = encode_lanes(y, rules.format.q)
    h.prove("what comes out has the point's label", same.value == h.past(label.value, Candidate.LATENCY - POINT + 1))
    beyond = h.wire(Cat(lane.value == 2 * rules.format.q for lane in point).any())
    h.cover("a coordinate is 2q, which is −2q to the hardware", h.past(beyond, Candidate.LATENCY - POINT + 1))
    h.cover("no overload", ~dut.overload)


def ends(rules: FrontEndRules, h: Harness) -> None:
    """From coordinates, and the registers of the codeword, to overload."""
    dut = h.place(Candidate(rules))
    word = [h.probe(f"dut.core.word_{i}") for i in range(DIM)]
    parity = golden.lattice.codeword([word[i] for i in INFORMATION])
    h.assume(Cat(parity[i] == word[i] for i in REDUNDANT).all())
    z = lanes(dut.z, rules.candidate_bits)
    some = h.past(h.wire(Cat(at_end(lane) for lane in z).any()), Candidate.LATENCY)
    h.prove("it overloads", ~some | dut.overload)
    h.cover("one at an end", some)
    h.cover("no overload", ~dut.overload)


def nearest(rules: FrontEndRules, h: Harness) -> None:
    """What is left of a block without its point lies in the Voronoi cell of Λ."""
    h.place(Candidate(rules))
    dut_z = h.probe("dut.z", DIM * rules.candidate_bits)
    point = [h.probe(f"dut.core.p_{i}").as_signed() for i in range(DIM)]
    unit = 1 << rules.fraction_bits
    rest = [
        h.wire((h.past(z, POINT) - (p << rules.fraction_bits))[: rules.candidate_bits].as_signed(), "rest")
        for z, p in zip(lanes(dut_z, rules.candidate_bits), point, strict=True)
    ]
    size = [h.wire(Mux(lane < 0, -lane, lane), "size") for lane in rest]
    for support in sorted({tuple(abs(v).tolist()) for v in minimal_vectors()}):
        total: Value = sum((size[i] << (support[i] - 1) for i in range(DIM) if support[i]), Value.cast(0))
        h.prove(f"⟨z − p, v⟩ ≤ 2 for v = {support} with any signs", total <= 2 * unit)
    h.cover("a facet is touched", size[0] + size[1] + size[2] + size[3] == 2 * unit)


def _within(rules: FrontEndRules) -> str:
    return f"In the search for the nearest point, q = {rules.format.q}, with {rules.fraction_bits} fraction bits,"


def _search(rules: FrontEndRules, name: str) -> list[Claim]:
    """What golden's soft decoder is given, and what is made of its codeword; and what it makes of what it is given,
    which depends on the fraction bits only: for q = 16, and for all q with as many as the default."""
    what, found = _within(rules), []
    if rules.format.q == Format().q or rules.fraction_bits == FrontEndRules.fraction_bits:
        found.append(
            Claim(
                f"encoder_{name}_codeword",
                f"{what} the codeword is golden's, ties included, for any hard decisions and reliabilities.",
                partial(codewords, rules),
                Window(POINT - 2),
                TIE,
            )
        )
    return [
        Claim(
            f"encoder_{name}_decisions",
            f"{what} the hard decisions and reliabilities of any eight coordinates are what golden gives to its "
            "soft decoder, and of any codeword the point becomes what golden makes of it.",
            partial(decisions, rules),
            Window(POINT),
            Bug("a coordinate goes the wrong way", r"p_3 <= \{ (.*), word_3 \};", r"p_3 <= { \1, ~word_3 };"),
        ),
        *found,
    ]


def claims() -> list[Claim | Implication]:
    """All of them."""
    found: list[Claim | Implication] = []
    for q in (2, 4, 8, 16, 32, 64):
        rules = FrontEndRules(format=Format(q))
        what = _within(rules)
        for bits in FRACTIONS:
            default = bits == rules.fraction_bits
            found += _search(replace(rules, fraction_bits=bits), f"q{q}" if default else f"q{q}_f{bits}")
        found += [
            Claim(
                f"encoder_q{q}_reduced",
                f"{what} any point of Λ is brought to golden's member of least energy of its coset, and overload is "
                "flagged exactly when that is another point.",
                partial(reduced, rules),
                Window(Candidate.LATENCY - POINT),
                TIE,
            ),
            Claim(
                f"encoder_q{q}_overload",
                f"{what} overload is flagged exactly when golden decodes the label of its point to another one, for "
                "any eight coordinates and any codeword; and what comes out has that label.",
                partial(overloaded, rules),
                Window(Candidate.LATENCY),
                OUTSIDE,
            ),
            Claim(
                f"encoder_q{q}_ends",
                f"{what} a block with a coordinate at either end of its range overloads, for any other coordinates and "
                "any codeword: it does not matter which end saturation takes it to, unless no other β is left.",
                partial(ends, rules),
                Window(Candidate.LATENCY),
                OUTSIDE,
            ),
        ]
    rules = FrontEndRules(format=Format(4), fraction_bits=2)
    found.append(
        Claim(
            "encoder_f2_nearest",
            "With 2 fraction bits the search gives the nearest point of Λ, modulo 4q, to any eight coordinates: what "
            "is left has ⟨z − p, v⟩ ≤ 2 for all 240 minimal vectors v.",
            partial(nearest, rules),
            Window(POINT),
            DEAR,
        )
    )
    return found
