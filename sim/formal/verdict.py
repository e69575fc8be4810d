"""What a solver says, and what becomes of a claim."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from golden import process
from golden.errors import ToolError


@dataclass(frozen=True)
class Answer:
    """What a solver says of a question.

    Attributes
    ----------
    result : "sat", "unsat" or "unknown"
    seconds : float
    values : list of int
        What was asked for, if the formulas can be true.
    """

    result: str
    seconds: float
    values: list[int]


def solve(formulas: str, terms: Sequence[str], limit: float) -> Answer:
    """Whether formulas in SMT-LIB can be true at once; if so, with which values of the terms.

    Raises
    ------
    ToolError
        If the solver fails.
    """
    asked = json.dumps({"formulas": formulas, "terms": list(terms), "limit": limit})
    begin = time.monotonic()
    done = process.run_python("sim.formal.solve", input=asked, limit=limit + 60)
    if done.code:
        said = done.errors.strip().splitlines()
        raise ToolError(f"The solver failed ({said[-1] if said else done.how}).")
    answer = json.loads(done.output)
    return Answer(answer["result"], time.monotonic() - begin, answer["values"])


@dataclass(frozen=True)
class Waves:
    """A run that breaks a claim.

    Attributes
    ----------
    wires : dict of str to int
        Bits of each wire.
    steps : int
    values : list of int
        What the first wire has in each step, then the next one.
    """

    wires: dict[str, int]
    steps: int
    values: list[int]

    def of(self, wire: str) -> list[int]:
        """What a wire has in each step."""
        i = list(self.wires).index(wire)
        return self.values[i * self.steps : (i + 1) * self.steps]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    name, claim, method : str
    covers : tuple of str
        The cases that must be reachable.
    bug : str
        The bug that must be found.
    status : str
        "proved"; "holds" if for so many cycles only; "refuted"; "undecided" if the time was not enough, or the
        induction, or if it speaks of what the Verilog does not have; "unreachable" if a case that must be reachable is
        not; "blind" if the planted bug was not found.
    seconds : dict of str to float
        Of the solver: for the `proof`, the `covers` and the `bug`.
    detail : str
        What failed, if something did.
    waves : Waves, optional
        The run that breaks the claim; or that induction cannot tell from one.
    """

    name: str
    claim: str
    method: str
    covers: tuple[str, ...]
    bug: str
    status: str
    seconds: dict[str, float]
    detail: str = ""
    waves: Waves | None = None
