"""Runs of a circuit as formulas: each state after the first is written as what the one before makes of it.

A state could as well be anything that `|top_t|` says may follow. But then a solver has to find out by a search what is
equal; here it sees it, for two registers of equal inputs are one and the same term. That a register holds the product
of two others takes a tenth of a second instead of minutes.
"""

import re

from golden.errors import ToolError

# yosys writes a state as one number. A field of it is a register, an input, or what the solver chooses.
_WIDTH = re.compile(r"^\(define-sort \|top_s\| \(\) \(_ BitVec (\d+)\)\)$", re.MULTILINE)
_FIELD = re.compile(
    r"^\(define-fun \|(top#\d+|top_is)\| \(\(state \|top_s\|\)\) "
    r"(?:\(_ BitVec \d+\) \(\(_ extract (\d+) (\d+)\) state\)|Bool \(= \(\(_ extract (\d+) \4\) state\) #b1\))\)",
    re.MULTILINE,
)
_NEXT = re.compile(r"^  \(= (.*) \(\|(top#\d+)\| next_state\)\)(?: ;.*)?$", re.MULTILINE)


def run(text: str, steps: int) -> list[str]:
    """The states s0 ... of a run of so many steps.

    Parameters
    ----------
    text : str
        What yosys writes of the circuit, with states as bit vectors.
    steps : int

    Returns
    -------
    list of str, in SMT-LIB.

    Raises
    ------
    ToolError
        If the text is not as it should be: there is no run of it then, rather than one that is not the circuit's.
    """
    width = _WIDTH.search(text)
    fields = [(int(low or bit), int(high or bit), name, bool(bit)) for name, high, low, bit in _FIELD.findall(text)]
    fields.sort(reverse=True)
    lines = text.partition("(define-fun |top_t| ")[2].partition("; end of module")[0].splitlines()[1:]
    rules = [line for line in lines if line.strip(" )")]
    follows = {match[2]: match[1] for match in map(_NEXT.fullmatch, rules) if match}
    tiled = [low for low, *_ in fields] == [high + 1 for _, high, *_ in fields[1:]] + [0]
    if width is None or not fields or fields[0][1] + 1 != int(width[1]) or not tiled or len(follows) != len(rules):
        raise ToolError("yosys writes states in another way than is understood here.")
    states = []
    for i in range(steps + 1):
        parts = []
        for low, high, name, flag in fields:
            if i and name in follows:
                value = re.sub(r"\bstate\)", f"s{i - 1})", follows[name])
                parts.append(f"(ite {value} #b1 #b0)" if flag else value)
            else:
                parts.append(f"|s{i} {name}|")
                states.append(f"(declare-const {parts[-1]} (_ BitVec {high - low + 1}))")
        states.append(f"(define-fun s{i} () |top_s| {_joined(parts)})")
    return states


def _joined(parts: list[str]) -> str:
    """Their concatenation, as a balanced tree: none is far from its root."""
    half = len(parts) // 2
    return f"(concat {_joined(parts[:half])} {_joined(parts[half:])})" if half else parts[0]
