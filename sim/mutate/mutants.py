"""Mutants of generated Verilog: small changes of single assignments, of the kinds that people make by mistake."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

TOKEN = re.compile(
    r"""
    \s*(?:
      \\\S+\s?                             # an escaped name ends with a space
      | \d+'s?[bdh][0-9a-fxz]+             # a constant with a width
      | [$\w]+
      | >>>|<<<|&&|\|\||===|!==|==|!=|<=|>=|>>|<<|~\^|~&|~\|
      | \S
    )""",
    re.VERBOSE,
)
CONSTANT = re.compile(r"\s*(\d+)'(s?)([bdh])([0-9a-f]+)\s*")
ASSIGNMENT = re.compile(r"( *assign (.*?) = )(.*)(;)")
WRITE = re.compile(r"( *if \(())(.*)(\) *)")
MEMORY = re.compile(r" *\w+\[.*\] <= ")

OTHER = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "+": "-", "-": "+", "&": "|", "|": "&", "^": "|", "&&": "||", "||": "&&", ">>": "<<",
}  # fmt: skip
"""What takes the place of an operator between two operands."""

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
RESETS = ("rst", "core_rst")
"""The names that a reset has inside a design."""

KINDS = {
    "comparison": "a comparison is another one: < is <=, == is !=",
    "operator": "an operator is another one: + is −, & is |, ^ is |",
    "operands": "the operands of a difference or a comparison change places",
    "term": "one of two operands is left out",
    "negation": "an inversion is left out",
    "arms": "the two values of a choice change places",
    "enable": "a register or memory does not wait for its enable",
    "constant": "a constant is one more or one less; a table has a wrong entry",
    "reset": "a reset leaves a register as it is",
    "reset value": "a register is reset to another value",
}
"""What is done to the Verilog, by the name of its kind."""


@dataclass(frozen=True)
class Mutant:
    """A change of an expression.

    Attributes
    ----------
    line : int
        Of the Verilog, counted from 1.
    module : str
    kind : str
        One of `KINDS`.
    target : str
        What is assigned; of a memory, what enables it to be written.
    sound, broken : str
        The expression as it is, and as it becomes.
    """

    line: int
    module: str
    kind: str
    target: str
    sound: str
    broken: str

    def __str__(self) -> str:
        """The change, in a line."""
        return f"{self.target} = {self.broken} (was {self.sound})"


def found(verilog: str, modules: Callable[[str], bool], rng: np.random.Generator) -> list[Mutant]:
    """All mutants of the modules that are chosen by name; `rng` chooses the wrong entry of a table."""
    mutants: list[Mutant] = []
    lines = verilog.splitlines()
    becomes: dict[str, str] = {}
    module = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("module "):
            module = line.split()[1].partition("(")[0].lstrip("\\")
            becomes = _becomes(lines[number : lines.index("endmodule", number)])
        if not modules(module):
            continue
        if match := ASSIGNMENT.fullmatch(line):
            target, sound = match[2].strip(), match[3].strip()
            changes = _changes(words_of(sound), becomes.get(target), rng)
        elif (match := WRITE.fullmatch(line)) and number < len(lines) and MEMORY.match(lines[number]):
            target, sound = "write enable", match[3].strip()
            changes = iter([("enable", "1'h1")])
        else:
            continue
        seen = {sound}
        for kind, broken in changes:
            if broken not in seen:
                seen.add(broken)
                mutants.append(Mutant(number, module, kind, target, sound, broken))
    return mutants


def drawn(mutants: Sequence[Mutant], count: int, rng: np.random.Generator) -> list[Mutant]:
    """So many of the mutants, or all, by line: as many of each kind in each module as of any other, as long as there
    are some."""
    queues: dict[tuple[str, str], list[Mutant]] = {}
    for i in rng.permutation(len(mutants)):
        queues.setdefault((mutants[i].module, mutants[i].kind), []).append(mutants[i])
    chosen: list[Mutant] = []
    while len(chosen) < min(count, len(mutants)):
        for queue in queues.values():
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return sorted(chosen, key=lambda m: (m.line, m.kind, m.broken))


def planted(verilog: str, mutants: Sequence[Mutant], chosen: str) -> str:
    """The Verilog with all mutants, of which number i, from 1, is there where the expression `chosen` is i.

    A mutant and what it is made of stand in one choice, where the same rules of width and sign hold for both.
    """
    lines = verilog.splitlines()
    at: dict[int, list[tuple[int, Mutant]]] = {}
    for i, mutant in enumerate(mutants, 1):
        at.setdefault(mutant.line, []).append((i, mutant))
    for number, some in at.items():
        match = ASSIGNMENT.fullmatch(lines[number - 1]) or WRITE.fullmatch(lines[number - 1])
        assert match is not None
        choice = "".join(f"({chosen} == 16'd{i}) ? ({mutant.broken} ) : " for i, mutant in some)
        lines[number - 1] = f"{match[1]}{choice}({some[0][1].sound} ){match[4]}"
    return "\n".join([*lines, ""])


def words_of(expression: str) -> list[str]:
    """The words of an expression, each with the space before it; an escaped name with the one after it as well."""
    return [match[0] for match in TOKEN.finditer(expression)]


def _becomes(lines: Sequence[str]) -> dict[str, str]:
    """The register that each wire of a module is the next value of, if a choice or two come between."""
    becomes: dict[str, str] = {}
    for line in lines:
        if match := re.fullmatch(r"    (\S+) *<= (\S+);", line):
            becomes[match[2]] = match[1]
    choices: dict[str, list[str]] = {}
    for line in lines:
        if match := re.fullmatch(r"  assign (\S+) = \S+ *\? (\S+) *: (\S+) *;", line):
            choices[match[1]] = [match[2], match[3]]
    waiting = list(becomes)
    while waiting:
        wire = waiting.pop()
        for arm in choices.get(wire, ()):
            if arm.startswith("_") and arm not in becomes:
                becomes[arm] = becomes[wire]
                waiting.append(arm)
    return becomes


def _changes(words: list[str], register: str | None, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """What an expression can become: its kind, and the new expression."""
    choice = _split(words, ("?",))
    if choice is not None:
        condition, _, arms = choice
        if (split := _split(arms, (":",))) is not None:
            yield from _choices(condition, split[0], split[2], register)
    elif (operation := _split(words, tuple(OTHER))) is not None:
        left, operator, right = operation
        if not (operator == ">>" and _is_constant(left)):
            yield "comparison" if operator in COMPARISONS else "operator", _text(left, f" {OTHER[operator]}", right)
        if operator in ("-", "<", "<=", ">", ">="):
            yield "operands", _text(right, f" {operator}", left)
        if operator in ("&", "|", "^", "+", "-"):
            yield "term", _text(left)
            yield "term", _text(right)
    elif words[0].strip() == "~":
        yield "negation", _text(words[1:])
    elif words[0].strip() == "!":
        yield "negation", _text("|", words[1:])
    if choice is None or _text(choice[0]) not in RESETS:
        yield from _constants(words, rng)


def _choices(condition: list[str], yes: list[str], no: list[str], register: str | None) -> Iterator[tuple[str, str]]:
    """What becomes of a choice: of a reset, of what keeps a register, and of any other."""
    if _text(condition) in RESETS:
        yield "reset", _text(no)
        if _is_constant(yes):
            yield "reset value", _text(condition, " ?", [_constant(yes[0], lambda value: value ^ 1)], " :", no)
        return
    yield "arms", _text(condition, " ?", no, " :", yes)
    for kept, taken in ((yes, no), (no, yes)):
        if _text(kept) == register:
            yield "enable", _text(taken)


def _constants(words: list[str], rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """The expression with a constant that is one off; with a wrong entry, where the constant is a table."""
    for i, word in enumerate(words):
        if not _is_constant([word]):
            continue
        if [following.strip() for following in words[i + 1 : i + 2]] == [">>"]:
            entry = 1 << int(rng.integers(int(word.partition("'")[0])))
            others = [_constant(word, lambda value, entry=entry: value ^ entry)]  # type: ignore[misc]
        else:
            others = [_constant(word, lambda value: value + 1), _constant(word, lambda value: value - 1)]
        for other in others:
            yield "constant", _text(words[:i], [other], words[i + 1 :])


def _split(words: list[str], operators: Sequence[str]) -> tuple[list[str], str, list[str]] | None:
    """An expression at its first operator that has something on either side and no bracket around it."""
    depth = 0
    for i, word in enumerate(words):
        bare = word.strip()
        depth += (bare in "([{") - (bare in ")]}")
        if depth == 0 and 0 < i < len(words) - 1 and bare in operators:
            return words[:i], bare, words[i + 1 :]
    return None


def _is_constant(words: list[str]) -> bool:
    return len(words) == 1 and CONSTANT.fullmatch(words[0]) is not None


def _constant(word: str, change: Callable[[int], int]) -> str:
    """Another value for a constant, in as many bits."""
    match = CONSTANT.fullmatch(word)
    assert match is not None
    bits = int(match[1])
    value = change(int(match[4], {"b": 2, "d": 10, "h": 16}[match[3]])) % (1 << bits)
    return f"{bits}'{match[2]}h{value:0{-(-bits // 4)}x}"


def _text(*parts: str | list[str]) -> str:
    """The text of words."""
    return " ".join((part if isinstance(part, str) else "".join(part)).strip() for part in parts if part)
