"""Claims on golden's search for the nearest point: that it finds it, for numbers of any size.

Golden's functions are run on integers without bounds (`sim.formal.exact`). That the hardware does what golden does is
said by the claims of `sim.formal.encoding`; what is joined here is therefore so of the hardware as well.
"""

from collections.abc import Iterable
from typing import Any
from unittest import mock

import golden.lattice
from golden.lattice import DIM, INFORMATION, REDUNDANT, codeword
from sim.formal.arithmetic import Implication, every, total
from sim.formal.exact import Term, Terms

FRACTIONS = range(2, 9)
"""The fraction bits that a front end may have."""

SUMMANDS = 10
"""Of golden's reliabilities so many in a sum must fit the type that they are of."""


def cost(hard: Iterable[Term | str], word: Iterable[Term | str], reliability: Iterable[Term | str]) -> str:
    """The total reliability at which a codeword differs from hard decisions."""
    return total(f"(ite (xor {h} {b}) {r} 0)" for h, b, r in zip(hard, word, reliability, strict=True))


def _search(terms: Terms) -> tuple[list[Any], list[Any], list[Any]]:
    """Hard decisions, reliabilities, and the codeword that golden finds for them."""
    hard, reliability = [terms.bit(f"h{i}") for i in range(DIM)], [terms.integer(f"r{i}") for i in range(DIM)]
    return hard, reliability, golden.lattice.soft_decode(hard, reliability)


NOT_NEGATIVE = every(f"(<= 0 r{i})" for i in range(DIM))


def least() -> Implication:
    """Of the codewords, golden's costs least."""
    terms = Terms()
    hard, reliability, word = _search(terms)
    parity = codeword([word[i] for i in INFORMATION])
    other = codeword([terms.bit(f"c{i}") for i in INFORMATION])
    found = [f"(= {word[i]} {parity[i]})" for i in REDUNDANT]
    return Implication(
        "search_least",
        "For any eight hard decisions and reliabilities, golden's soft decoder finds a codeword of RM(1,3), and none "
        "of the 16 codewords differs from the hard decisions at less total reliability.",
        {"no reliability is negative": NOT_NEGATIVE},
        every([*found, f"(<= {cost(hard, word, reliability)} {cost(hard, other, reliability)})"]),
        "no reliability is negative",
        terms.lines,
    )


def bounded() -> Implication:
    """What golden computes on the way."""
    terms = Terms()
    _search(terms)
    return Implication(
        "search_bounded",
        f"No number that golden's soft decoder computes is beyond {SUMMANDS} times the greatest reliability: a type "
        "that holds these computes as integers without bounds do.",
        {
            "no reliability is negative": NOT_NEGATIVE,
            "none is greater than m": every(f"(<= r{i} m)" for i in range(DIM)),
        },
        every(f"(<= (abs {number}) (* {SUMMANDS} m))" for number in terms.numbers),
        "none is greater than m",
        terms.lines,
    )


def doubled() -> Implication:
    """The hardware's reliabilities are half of golden's."""
    terms = Terms()
    hard, _, word = _search(terms)
    twice = [terms.integer(f"d{i}") for i in range(DIM)]
    again = golden.lattice.soft_decode(hard, twice)
    return Implication(
        "search_doubled",
        "With all reliabilities doubled golden's soft decoder finds the same codeword, ties included: the "
        "hardware's are half of golden's.",
        {"they are doubled": every(f"(= d{i} (* 2 r{i}))" for i in range(DIM))},
        every(f"(= {a} {b})" for a, b in zip(word, again, strict=True)),
        "they are doubled",
        terms.lines,
    )


def coordinate() -> Implication:
    """One coordinate of golden's point, for either bit of a codeword."""
    terms = Terms()
    z, bit = terms.integer("z"), terms.bit("b")
    same, found = [], []
    for fraction in FRACTIONS:
        unit = 1 << fraction
        given: list[Term] = []

        def decode(hard: list[Term], reliability: list[Term], given: list[Term] = given) -> list[Term]:
            given += [*hard, *reliability]
            return [bit]

        with mock.patch.object(golden.lattice, "soft_decode", decode):
            (p,) = golden.lattice.nearest_lanes([z], unit=unit)
        hard, reliability = given
        rest = z - p * unit
        same.append(f"(= k{fraction} (+ {p} (* 2 j)))")
        found += [
            f"(= (mod {p} 2) (ite b 1 0))",
            f"(<= (abs {rest}) (abs (- z (* {unit} k{fraction}))))",
            f"(<= 0 {reliability})",
            f"(= (* 2 (abs {rest})) (ite (xor b {hard}) (+ {unit} {reliability}) (- {unit} {reliability})))",
        ]
    return Implication(
        "search_coordinate",
        f"For any coordinate with {FRACTIONS[0]} to {FRACTIONS[-1]} fraction bits and either bit of a codeword, what "
        "golden makes of them is a number of that parity, none of that parity is nearer, and it is half of 1 + r away, "
        "r being the reliability, if the bit overrules the hard decision, else half of 1 − r.",
        {"k is of the same parity": every(same)},
        every(found),
        "k is of the same parity",
        terms.lines,
    )


def squares() -> Implication:
    """From distances to their squares."""
    return Implication(
        "search_squares",
        "From search_coordinate follows: what is no nearer has no less squared distance; and to overrule a hard "
        "decision costs exactly r units of it.",
        {
            "no nearer": "(<= (abs a) (abs b))",
            "half of 1 + r": "(= (* 2 (abs o)) (+ u r))",
            "half of 1 − r": "(= (* 2 (abs h)) (- u r))",
        },
        "(and (<= (* a a) (* b b)) (= (- (* o o) (* h h)) (* u r)))",
        "no nearer",
        logic="QF_NIA",
    )


def joined() -> Implication:
    """From coordinates to points."""

    units = [every(f"(= u{kind}{i} (* {1 << f} {kind}{i}))" for kind in "ac" for i in range(DIM)) for f in FRACTIONS]
    costs, others, points, rivals = (total(f"{kind}{i}" for i in range(DIM)) for kind in "acpx")
    return Implication(
        "search_nearest",
        f"From search_least and search_squares follows: the point that golden finds, with {FRACTIONS[0]} to "
        f"{FRACTIONS[-1]} fraction bits, is a nearest one of Λ. So is the hardware's, modulo 4q, by the claims on its "
        "decisions and codewords.",
        {
            "golden's codeword has the least total of reliabilities overruled": f"(<= {costs} {others})",
            "r is worth r units": f"(or {' '.join(units)})",
            "golden's squared distances": every(f"(= p{i} (+ h{i} ua{i}))" for i in range(DIM)),
            "those of another point of Λ, for its codeword": every(f"(<= (+ h{i} uc{i}) x{i})" for i in range(DIM)),
        },
        f"(<= {points} {rivals})",
        "golden's codeword has the least total of reliabilities overruled",
    )


def claims() -> list[Implication]:
    """All of them."""
    return [least(), bounded(), doubled(), coordinate(), squares(), joined()]
