"""Asks a solver whether formulas can be true at once: a program of its own, which can be stopped.

Reads JSON: `formulas` in SMT-LIB, `terms` to be told of if they can, `limit` in seconds. Writes JSON: `result`, "sat",
"unsat" or "unknown", and the terms' `values`, as numbers. Formulas of bits go to Bitwuzla, those of integers to Z3.
"""

import json
import sys
import time
from typing import Any


def bits(question: dict[str, Any]) -> dict[str, Any]:
    """Bitwuzla's answer."""
    import bitwuzla

    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, True)
    parser = bitwuzla.Parser(bitwuzla.TermManager(), options)
    parser.parse(question["formulas"], True, False)
    solver = parser.bitwuzla()
    end = time.monotonic() + question["limit"]
    solver.configure_terminator(lambda: time.monotonic() > end)
    result = str(solver.check_sat())
    values = []
    if result == "sat":
        found = [solver.get_value(parser.parse_term(term)).value() for term in question["terms"]]
        values = [int(value) if isinstance(value, bool) else int(value, 2) for value in found]
    return {"result": result, "values": values}


def integers(question: dict[str, Any]) -> dict[str, Any]:
    """Z3's answer, and the whole numbers that make the formulas true."""
    import z3

    solver = z3.Solver()
    solver.set("timeout", int(1000 * question["limit"]))
    solver.from_string(question["formulas"])
    result = str(solver.check())
    model = solver.model() if result == "sat" else []
    # Of what was asked for only: what is defined by formulas is of the model as well, and takes long to be written out.
    numbers = {str(name): str(model[name]) for name in model if str(name) in question["terms"]}
    return {"result": result, "values": [numbers.get(term, "0") for term in question["terms"]]}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump((integers if "(set-logic QF_BV)" not in asked["formulas"] else bits)(asked), sys.stdout)
