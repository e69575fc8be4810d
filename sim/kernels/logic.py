"""Logic of three inputs: a builder, and a mapper that covers what was built with as few operations as it can.

A `Network` is a list of nodes in topological order, each a function of at most three earlier ones. Functions are truth
tables of eight bits in the order of AVX-512's VPTERNLOG and a GPU's LOP3: the bit for inputs (a, b, c) is number
4a + 2b + c. One operation of such hardware works on as many problems at once as its registers have bits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

INPUTS = (0xF0, 0xCC, 0xAA)
"""Truth tables of the three inputs themselves."""

CUTS = 24
"""Ways to cover a node that the mapper keeps."""

PASSES = 4
"""Times that the mapper goes over the whole network, by each of its two measures of area."""

Bit = int
"""A node's number; 0 and 1 are the constants."""


@dataclass(frozen=True)
class Operation:
    """`target` = the function `table` of three `sources`; unused sources repeat a used one."""

    target: Bit
    table: int
    sources: tuple[Bit, Bit, Bit]


class Network:
    """A network under construction.

    Parameters
    ----------
    inputs : int
        Number of inputs.
    """

    def __init__(self, inputs: int):
        self.inputs: list[Bit] = list(range(2, 2 + inputs))
        self.tables: list[int] = [0] * (2 + inputs)
        self.sources: list[tuple[Bit, ...]] = [()] * (2 + inputs)
        self._known: dict[tuple[int, tuple[Bit, ...]], Bit] = {}

    def add(self, function: Callable[[int, int, int], int], *sources: Bit) -> Bit:
        """A node that is a function of one to three others; constants and repeated nodes are taken out of it.

        Parameters
        ----------
        function : callable
            Of three integers whose bits are independent cases, by &, |, ^ and ~; missing sources are passed as 0.
        """
        free = sorted({source for source in sources if source > 1})
        value = {0: 0, 1: 0xFF, **dict(zip(free, INPUTS, strict=False))}
        table = function(*(value[source] for source in sources), *[0] * (3 - len(sources))) & 0xFF
        needed = [k for k in range(len(free)) if _depends(table, k)]
        if len(needed) < len(free):
            table = _restrict(table, needed)
            free = [free[k] for k in needed]
        if not free:
            return table & 1
        if len(free) == 1 and table == INPUTS[0]:
            return free[0]
        key = table, tuple(free)
        if key not in self._known:
            self._known[key] = len(self.tables)
            self.tables.append(table)
            self.sources.append(tuple(free))
        return self._known[key]

    def negation(self, a: Bit) -> Bit:
        """Not a."""
        return self.add(lambda a, _b, _c: ~a, a)

    def parity(self, *bits: Bit) -> Bit:
        """The sum of bits modulo 2."""
        total = bits[0]
        for i in range(1, len(bits), 2):
            total = self.add(lambda a, b, c: a ^ b ^ c, total, *bits[i : i + 2])
        return total

    def majority(self, a: Bit, b: Bit, c: Bit) -> Bit:
        """The carry of a sum of three bits."""
        return self.add(lambda a, b, c: (a & b) | (c & (a | b)), a, b, c)

    def choice(self, where: Bit, a: Bit, b: Bit) -> Bit:
        """a where `where` is one, else b."""
        return self.add(lambda w, a, b: (w & a) | (~w & b), where, a, b)


def operations(network: Network, outputs: Sequence[Bit]) -> list[Operation]:
    """Covers a network with operations of three inputs, in an order in which each follows its sources.

    Each node can be computed from any cut of at most three nodes that all its paths from the inputs pass. Cuts are
    picked by area flow first, then by the number of operations that the pick really adds (Mishchenko, Chatterjee and
    Brayton, "Improvements to technology mapping for LUT-based FPGAs", 2006).
    """
    return _Mapper(network, outputs).operations()


def evaluate(steps: Iterable[Operation], inputs: Sequence[NDArray[np.uint64]]) -> dict[Bit, NDArray[np.uint64]]:
    """The value of every node that the operations compute, on words of independent cases."""
    shape = np.asarray(inputs[0])
    value = {0: np.zeros_like(shape), 1: ~np.zeros_like(shape), **dict(enumerate(inputs, 2))}
    for step in steps:
        literal = [(value[source], ~value[source]) for source in step.sources]
        total = np.zeros_like(shape)
        for case, (a, b, c) in enumerate(product((1, 0), repeat=3)):
            if step.table >> (7 - case) & 1:
                total |= literal[0][1 - a] & literal[1][1 - b] & literal[2][1 - c]
        value[step.target] = total
    return value


@cache
def expression(table: int) -> str:
    """The shortest expression of `a`, `b` and `c` by &, |, ^ and ~ that has a truth table."""
    return _expressions()[table]


@cache
def _expressions() -> dict[int, str]:
    cost = {table: 0 for table in INPUTS}
    text = dict(zip(INPUTS, "abc", strict=True))
    cost |= {0: 0, 0xFF: 0}
    text |= {0: "(a ^ a)", 0xFF: "~(a ^ a)"}
    for level in range(1, 8):
        found: dict[int, str] = {}
        for x, y in product(list(cost), repeat=2):
            if cost[x] + cost[y] == level - 1 and x not in (0, 0xFF) and y not in (0, 0xFF):
                options = {x & ~y & 0xFF: f"({text[x]} & ~{text[y]})"}
                if x < y:
                    options |= {x & y: f"({text[x]} & {text[y]})", x | y: f"({text[x]} | {text[y]})"}
                    options |= {x ^ y: f"({text[x]} ^ {text[y]})"}
                for table, written in options.items():
                    found.setdefault(table, written)
        for x in list(cost):
            if cost[x] == level - 1:
                found.setdefault(x ^ 0xFF, f"~{text[x]}")
        for table, written in found.items():
            if table not in cost:
                cost[table], text[table] = level, written
    return text


def _depends(table: int, k: int) -> bool:
    shift = (4, 2, 1)[k]
    return (table ^ table >> shift) & ~INPUTS[k] & 0xFF != 0


def _restrict(table: int, needed: Sequence[int]) -> int:
    """The table with only the inputs needed, moved to the front."""
    result = 0
    for case in range(8):
        bits = [case >> 2 & 1, case >> 1 & 1, case & 1]
        old = sum(bits[i] << (2 - k) for i, k in enumerate(needed))
        result |= (table >> old & 1) << case
    return result


class _Mapper:
    """Covers one network."""

    def __init__(self, network: Network, outputs: Sequence[Bit]):
        self.network, self.outputs = network, [bit for bit in outputs if network.sources[bit]]
        self.count = len(network.tables)
        self.gates = [bit for bit in range(self.count) if network.sources[bit]]
        self.cuts: list[list[tuple[Bit, ...]]] = [[(bit,)] for bit in range(self.count)]
        self.pick: dict[Bit, tuple[Bit, ...]] = {}
        self.references = [0] * self.count

    def operations(self) -> list[Operation]:
        fanout = [0.0] * self.count
        for sources in self.network.sources:
            for source in sources:
                fanout[source] += 1
        for i in range(PASSES):
            self._by_flow(fanout, enumerate_cuts=i == 0)
            self._count()
            fanout = [(2 * real + old) / 3 for real, old in zip(self.references, fanout, strict=True)]
        for _ in range(PASSES):
            self._by_area()
        gates = [bit for bit in self.gates if self.references[bit]]
        last = {source: bit for bit in gates for source in self.pick[bit]}
        steps = []
        for bit in gates:
            # The instruction overwrites its first source: one that nobody needs afterwards, where there is one.
            cut = tuple(sorted(self.pick[bit], key=lambda source, bit=bit: (last[source] != bit, source)))  # type: ignore[misc]
            steps.append(Operation(bit, self._table(bit, cut), (cut + cut[-1:] * 2)[:3]))  # type: ignore[arg-type]
        return steps

    def _by_flow(self, fanout: Sequence[float], *, enumerate_cuts: bool) -> None:
        """Picks cuts whose operations, each shared among those that are likely to use it, are few."""
        flow = [0.0] * self.count

        def cost(cut: tuple[Bit, ...]) -> float:
            return 1 + sum(flow[leaf] for leaf in cut)

        for bit in self.gates:
            if enumerate_cuts:
                found = {
                    tuple(sorted(union))
                    for parts in product(*(self.cuts[source] for source in self.network.sources[bit]))
                    if len(union := set().union(*parts)) <= 3
                }
                self.cuts[bit] = [*sorted(found, key=cost)[:CUTS], (bit,)]
            self.pick[bit] = min(self.cuts[bit][:-1], key=cost)
            flow[bit] = cost(self.pick[bit]) / max(1.0, fanout[bit])

    def _count(self) -> None:
        """Counts the uses of every node in the present cover."""
        self.references = [0] * self.count
        for bit in self.outputs:
            self._take(bit)

    def _take(self, bit: Bit) -> int:
        """One more use of a node; returns the operations that it adds."""
        self.references[bit] += 1
        if self.references[bit] > 1 or not self.network.sources[bit]:
            return 0
        return 1 + sum(self._take(leaf) for leaf in self.pick[bit])

    def _leave(self, bit: Bit) -> int:
        self.references[bit] -= 1
        if self.references[bit] or not self.network.sources[bit]:
            return 0
        return 1 + sum(self._leave(leaf) for leaf in self.pick[bit])

    def _by_area(self) -> None:
        """Changes one pick after the other where that saves operations.

        Of picks that add as many, the one nearest to the inputs is taken, where others find it to share.
        """
        for bit in self.gates:
            if not self.references[bit]:
                continue
            for leaf in self.pick[bit]:
                self._leave(leaf)
            self.pick[bit] = min(self.cuts[bit][:-1], key=lambda cut: (self._added(cut), sum(cut)))
            for leaf in self.pick[bit]:
                self._take(leaf)

    def _added(self, cut: tuple[Bit, ...]) -> int:
        """The operations that a use of these leaves adds."""
        added = sum(self._take(leaf) for leaf in cut)
        for leaf in cut:
            self._leave(leaf)
        return added

    def _table(self, bit: Bit, cut: tuple[Bit, ...]) -> int:
        """The function of a node in terms of a cut."""
        value = dict(zip(cut, INPUTS, strict=False))

        def of(node: Bit) -> int:
            if node not in value:
                sources = [of(source) for source in self.network.sources[node]]
                sources += [0] * (3 - len(sources))
                table, total = self.network.tables[node], 0
                for case in range(8):
                    if table >> case & 1:
                        a, b, c = (s if case >> k & 1 else ~s for s, k in zip(sources, (2, 1, 0), strict=True))
                        total |= a & b & c
                value[node] = total & 0xFF
            return value[node]

        return of(bit)
