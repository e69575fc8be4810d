"""Asks Bitwuzla whether formulas can be true at once: a program of its own, which can be stopped.

Reads JSON: `formulas` in SMT-LIB, `terms` to be told of if they can, `limit` in seconds. Writes JSON: `result`, "sat",
"unsat" or "unknown", and the terms' `values`, as numbers.
"""

import json
import sys
import time

import bitwuzla


def main() -> None:
    """Reads a question and writes the answer."""
    question = json.load(sys.stdin)
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
    json.dump({"result": result, "values": values}, sys.stdout)


if __name__ == "__main__":
    main()
