"""Finds what is kept, by a solver that stays: a program of its own, which can be stopped.

Reads JSON: `kept`, what may hold in every cycle, such as that a part of the state is the same in both circuits, and
`where`, on what condition, such as that a bit is up, each as terms, one for each step; `places`, of each of the first,
how many of the second, from the first on, are conditions of it; `begin`, terms that hold when it begins, or nothing if
all of it holds then; `again`, terms that hold when it begins anew, and `goes_on`, those that hold as long as it does
not, where nothing need be kept on the way; `written`, a term that must follow when it begins anew; `depth`, the steps
of the induction, as many as the last ones of the beginning; `alike`, a term that must follow; `formulas` in SMT-LIB,
which say what the terms are of; `limit` in seconds of the processor. Writes `true` if it does and `false` if it does
not, or if time was up.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import bitwuzla
from bitwuzla import Kind, Term

Statement = tuple[int, int | None]
"""What is kept, and where: its number, and that of a condition, if there is one."""


class Induction:
    """The greatest set of statements that the beginning makes true and every step keeps, and what follows from it.

    Parameters
    ----------
    asked : dict
        As it is read.
    """

    def __init__(self, asked: dict[str, Any]):
        options = bitwuzla.Options()
        options.set(bitwuzla.Option.PRODUCE_MODELS, True)
        self.terms = bitwuzla.TermManager()
        parser = bitwuzla.Parser(self.terms, options)
        parser.parse(asked["formulas"], True, False)
        self.solver = parser.bitwuzla()
        end = time.process_time() + asked["limit"]
        self.solver.configure_terminator(lambda: time.process_time() > end)
        self.may_hold = [[parser.parse_term(term) for term in steps] for steps in asked["kept"]]
        self.where = [[parser.parse_term(term) for term in steps] for steps in asked["where"]]
        self.places = asked["places"]
        self.begin = [parser.parse_term(term) for term in asked["begin"]]
        self.again, self.goes_on = ([parser.parse_term(term) for term in asked[name]] for name in ("again", "goes_on"))
        self.written, self.alike = (parser.parse_term(asked[name]) for name in ("written", "alike"))
        self.depth = asked["depth"]
        self.last = len(self.may_hold[0]) - 1 if self.may_hold else 0
        self.kept: list[Statement] = [(part, None) for part in range(len(self.may_hold))]
        self._made: dict[tuple[Statement, int], Term] = {}

    def closes(self) -> bool:
        """Whether outputs are alike for ever.

        Raises
        ------
        TimeoutError
            If time is up.
        """
        later = range(self.last - self.depth + 1, self.last + 1)
        while True:
            # From a reset, all that is kept holds in the cycles after it; if the circuit has none, it begins alike.
            if self.begin and self._sift(self.begin, later):
                continue
            if self.again and self._sift([*self._so_far(1), *self.again], later):
                continue
            so_far = [*self._so_far(self.depth), *self.goes_on]
            if not self._sift(so_far, [self.depth]):
                begins_anew = [*self._so_far(1), *self.again]
                return self._follows(begins_anew, self.written) and self._follows(so_far, self.alike)

    def _follows(self, facts: Sequence[Term], term: Term) -> bool:
        """Whether a term is true where the facts are."""
        self.solver.push(1)
        for fact in facts:
            self.solver.assert_formula(fact)
        possible = self._possible(self._not(term))
        self.solver.pop(1)
        return not possible

    def _so_far(self, steps: int) -> list[Term]:
        return [self._statement(statement, step) for statement in self.kept for step in range(steps)]

    def _sift(self, facts: Sequence[Term], steps: Sequence[int]) -> bool:
        """Drops the statements that are not true in some steps though the facts are. Of what then need not hold in all
        cycles, it is said that it does on each of its conditions. Returns whether there were any."""
        self.solver.push(1)
        for fact in facts:
            self.solver.assert_formula(fact)
        left = {statement: self._every([self._statement(statement, step) for step in steps]) for statement in self.kept}
        while left and self._possible(self._not(self._every(list(left.values())))):
            left = {statement: term for statement, term in left.items() if self.solver.get_value(term).value()}
        self.solver.pop(1)
        false = [part for part, place in self.kept if place is None and (part, place) not in left]
        dropped = len(left) < len(self.kept)
        self.kept = [*left, *((part, place) for part in false for place in range(self.places[part]))]
        return dropped

    def _possible(self, term: Term) -> bool:
        result = self.solver.check_sat(term)
        if result == bitwuzla.Result.UNKNOWN:
            raise TimeoutError
        return bool(result == bitwuzla.Result.SAT)

    def _statement(self, statement: Statement, step: int) -> Term:
        """A statement, in a step."""
        if (statement, step) not in self._made:
            part, place = statement
            term = self.may_hold[part][step]
            if place is not None:
                term = self.terms.mk_term(Kind.IMPLIES, [self.where[place][step], term])
            self._made[statement, step] = term
        return self._made[statement, step]

    def _every(self, terms: Sequence[Term]) -> Term:
        return self.terms.mk_term(Kind.AND, [self.terms.mk_true(), self.terms.mk_true(), *terms])

    def _not(self, term: Term) -> Term:
        return self.terms.mk_term(Kind.NOT, [term])


if __name__ == "__main__":
    try:
        print(json.dumps(Induction(json.load(sys.stdin)).closes()))
    except TimeoutError:
        print(json.dumps(False))
