"""Claims on the encoder around its search: division by β, and the choice of one."""

from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from amaranth import Array, Cat, Const, Value

import golden.frontend
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.lattice import DIM
from golden.reciprocal import ADDITIONS
from golden.voronoi import encode_lanes
from hw.codec.encoder import Candidate, Encoder, encoding
from sim.formal.claim import Bug, Claim
from sim.formal.harness import Harness, lanes
from sim.formal.methods import Window

DIVISION = ADDITIONS + 2
"""Cycles from coordinates to those of a candidate."""

IN_TURN = DIVISION + 2
"""The same with serial candidates, for the first β."""


def divided(rules: FrontEndRules, h: Harness, *, either_end: bool = False) -> None:
    """Every coordinate over every β; or, where golden's is at an end of its range, at either, but for the last β."""
    dut = h.place(Encoder(rules))
    t: list[Any] = [h.golden(lane, "i8") for lane in lanes(dut.i_t, rules.scaled_bits)]
    for beta in rules.format.betas:
        quotients: list[Any] = rules.divided(t, beta)
        for i, quotient in enumerate(quotients):
            z = h.probe(f"dut.core.z_{beta}_{i}").as_signed()
            expected = h.past(quotient.value[: len(z)].as_signed(), DIVISION)
            right = z == expected
            if either_end and beta != rules.format.betas[-1]:
                right |= at_end(z) & at_end(expected)
            h.prove(f"coordinate {i} over {beta}", right)
    most = (1 << (rules.candidate_bits - 1)) - 1
    h.cover("saturated", h.probe(f"dut.core.z_{rules.format.betas[0]}_0").as_signed() == most)


def at_end(z: Value) -> Value:
    """Whether a signed number is the least or the greatest of its bits."""
    return z[:-1] == (z[-1] ^ 1).replicate(len(z) - 1)


def golden_choice(rules: FrontEndRules) -> list[int]:
    """The index that golden chooses, by which of the candidates overload: bit i of the position is that of β i.

    Golden encodes a block for each position. Its search is told to find a point that names its candidate, and which of
    them overload.
    """
    count = len(rules.format.betas)
    position, tried = np.arange(1 << count), iter(range(count))

    def nearest(z: Any, unit: int) -> list[Any]:
        candidate = next(tried)
        return [np.full((1, 1 << count), candidate)] * DIM

    def reduced(p: Any, q: int) -> list[Any]:
        return [p[0] + ((position >> p[0]) & 1), *p[1:]]

    with mock.patch.multiple(
        golden.frontend, nearest_lanes=nearest, reduce_lanes=reduced, encode_lanes=lambda p, q: p[0]
    ):
        label, index = rules.encode(np.zeros((1, DIM << count), dtype=np.int64))
    assert (label == index).all(), "the label is that of the candidate"
    return [int(i) for i in index[0]]


def _chosen(rules: FrontEndRules, overload: list[Value], y: list[Value], h: Harness) -> tuple[Value, Value]:
    """The index and the label that golden chooses of points and of whether they overload."""
    table = Array(Const(i, range(len(y))) for i in golden_choice(rules))
    index = h.wire(table[Cat(overload)], "chosen")
    label: Any = encode_lanes(
        [h.golden(lane, "i1") for lane in lanes(h.wire(Array(y)[index]), rules.format.point_bits)], rules.format.q
    )
    h.cover("all overload", Cat(overload).all())
    h.cover("all but the last overload", Cat(overload) == (1 << (len(y) - 1)) - 1)
    return index, label.value


def chosen(rules: FrontEndRules, h: Harness) -> None:
    """From the candidates' registers to the label."""
    dut = h.place(Encoder(rules))
    overload = [h.probe(f"dut.core.candidate_{beta}.overload", 1) for beta in rules.format.betas]
    bits = DIM * rules.format.point_bits
    y = [h.probe(f"dut.core.candidate_{beta}.y", bits) for beta in rules.format.betas]
    index, label = _chosen(rules, overload, y, h)
    h.prove("β is golden's choice", dut.o_beta == h.past(index))
    h.prove("the label is that of its point", dut.o_label == h.past(label))


def divided_in_turn(rules: FrontEndRules, h: Harness) -> None:
    """One β after the other, from the cycle in which a block comes."""
    dut = h.place(Encoder(rules))
    z = [h.probe(f"dut.core.z_any_{i}").as_signed() for i in range(DIM)]
    for k, beta in enumerate(rules.format.betas):
        ago = IN_TURN + k
        alone = _alone(dut, h, ago, k)
        t: list[Any] = [h.golden(lane, "i8") for lane in lanes(dut.i_t, rules.scaled_bits)]
        quotients: list[Any] = rules.divided(t, beta)
        for i, expected in enumerate(quotients):
            right = z[i] == h.past(expected.value[: len(z[i])].as_signed(), ago)
            h.prove(f"coordinate {i} over {beta}", ~alone | right)
        h.cover(f"a block's quotients by {beta}", alone & (z[0] == 1))


def chosen_in_turn(rules: FrontEndRules, h: Harness) -> None:
    """From the candidate's registers to the label, as the trials of a block arrive."""
    dut = h.place(Encoder(rules))
    count, arrived = len(rules.format.betas), h.probe(f"dut.core.{_arrived()}")
    overload = h.probe("dut.core.candidate_any.overload", 1)
    y = h.probe("dut.core.candidate_any.y", DIM * rules.format.point_bits)
    ago = range(count, 0, -1)
    index, label = _chosen(rules, [h.past(overload, n) for n in ago], [h.past(y, n) for n in ago], h)
    in_turn = Cat(h.past(arrived, n) == k for k, n in enumerate(ago)).all()
    h.prove("β is golden's choice", ~in_turn | (dut.o_beta == index))
    h.prove("the label is that of its point", ~in_turn | (dut.o_label == label))


def in_time(rules: FrontEndRules, h: Harness) -> None:
    """What comes beside the coordinates; and, with serial candidates, which of them arrives when."""
    dut = h.place(Encoder(rules))
    latency = encoding(rules)
    for name in ("valid", "mantissa", "exponent", "last"):
        h.prove(f"{name} comes with it", getattr(dut, f"o_{name}") == h.past(getattr(dut, f"i_{name}"), latency))
    if rules.candidates == "serial":
        arrived = h.probe(f"dut.core.{_arrived()}")
        for k in range(len(rules.format.betas)):
            ago = IN_TURN + Candidate.LATENCY + k
            h.prove(f"candidate {k} arrives", ~_alone(dut, h, ago, k) | (arrived == k))
    h.cover("the end of a row", dut.o_valid & dut.o_last)


def _arrived() -> str:
    """The register that says which candidate is there."""
    return f"trial_of_candidate_d{2 + Candidate.LATENCY}"


def _alone(dut: Any, h: Harness, ago: int, cycles: int) -> Value:
    """Whether a block came so many cycles ago, and none in as many cycles after it."""
    return h.past(dut.i_valid, ago) & ~Cat(h.past(dut.i_valid, ago - k) for k in range(1, cycles + 1)).any()


UNSIGNED = Bug("a quotient loses its sign", r"z_(\w+)_0 <= \{ quotient_\w+\[\d+\],", r"z_\1_0 <= { 1'h0,")


def claims() -> list[Claim]:
    """All of them."""
    found = []
    formats = {"": Format()} | {f"_q{q}": Format(q) for q in (2, 4, 8, 32, 64)}
    for least, most in ((1, 4), (5, 8), (9, 12), (13, 15)):
        formats[f"_by_{least}_to_{most}"] = Format(betas=tuple(range(least, most + 1)))
    for name, format in formats.items():
        what = f"The encoder of q = {format.q} with {', '.join(map(str, format.betas))} for β divides any eight "
        found.append(
            Claim(
                f"encoder_division{name}",
                what + "coordinates by each of them, rounded and saturated, as golden does.",
                partial(divided, FrontEndRules(format=format)),
                Window(DIVISION),
                UNSIGNED,
            )
        )
    found.append(
        Claim(
            "encoder_division_or_end",
            "The encoder of q = 16 divides any eight coordinates by each β as golden does, or, for all β but the last, "
            "has one at either end of its range where golden has it at one of them.",
            partial(divided, FrontEndRules(), either_end=True),
            Window(DIVISION),
            UNSIGNED,
        )
    )
    for q in (2, 4, 8, 16, 32, 64):
        rules = FrontEndRules(format=Format(q))
        found.append(
            Claim(
                f"encoder_q{q}_choice",
                f"Of any points that candidates find, and of which any overload, the encoder of q = {q} gives β and "
                "label as golden does: those of the first that does not overload, or of the last.",
                partial(chosen, rules),
                Window(1),
                Bug("the last but one comes last", r"\? 2'h3 : 2'h2", r"? 2'h2 : 2'h3"),
            )
        )
    serial = FrontEndRules(candidates="serial")
    count, what = len(serial.format.betas), "The encoder that tries one β after the other,"
    found += [
        Claim(
            "encoder_serial_division",
            f"{what} q = 16, divides a block's coordinates by one of them in each cycle, if there are so many before "
            "the next block, rounded and saturated as golden does.",
            partial(divided_in_turn, serial),
            Window(IN_TURN + count - 1),
            UNSIGNED,
        ),
        Claim(
            "encoder_serial_choice",
            f"{what} q = 16, gives β and label as golden does, of any points that its candidates find, as they arrive, "
            "and of which any overload.",
            partial(chosen_in_turn, serial),
            Window(count),
            Bug("the last candidate is chosen", r"\bindex <= \w+;", f"index <= {_arrived()};"),
        ),
    ]
    for name, rules in (("", FrontEndRules()), ("_serial", serial)):
        latency = encoding(rules)
        sentence = (
            f"What comes with a block leaves the encoder with {rules.candidates} candidates, q = 16, {latency} cycles "
            "later, with its label"
        )
        found.append(
            Claim(
                f"encoder{name}_in_time",
                sentence + ("; the candidates of its β arrive in turn." if name else "."),
                partial(in_time, rules),
                Window(latency),
                Bug("a row ends a cycle early", r"last_d3 <= last_d2;", "last_d3 <= last_d1;"),
            )
        )
    return found
