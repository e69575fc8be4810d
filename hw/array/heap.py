"""Sums of many terms: bits by weight, reduced by full and half adders, and one carry chain at the end.

Source: Dadda, "Some schemes for parallel multipliers", 1965; terms of many products in one heap are what arXiv
2503.06342 calls reduction of the same bit weight.
"""

from amaranth import Cat, Const, Module, Value

from hw.values import wire


class Heap:
    """A sum modulo 2^width.

    Parameters
    ----------
    m : Module
        Where the adders are.
    width : int
    """

    def __init__(self, m: Module, width: int):
        self.m, self.width = m, width
        self._columns: list[list[Value]] = [[] for _ in range(width)]
        self._constant = 0

    def bit(self, value: Value, weight: int, *, negative: bool = False) -> None:
        """Adds a bit times 2^weight, or subtracts it."""
        if weight < self.width:  # −b = (1 − b) − 1
            self.put(wire(self.m, "bit", ~value if negative else value), weight)
            self.constant(-(negative << weight))

    def put(self, value: Value, weight: int) -> None:
        """Adds a bit as it is, times 2^weight."""
        self._columns[weight].append(value)

    def add(self, value: Value, shift: int = 0) -> None:
        """Adds value·2^shift, signed or not."""
        signed = value.shape().signed
        for i in range(len(value)):
            self.bit(value[i], i + shift, negative=signed and i == len(value) - 1)

    def subtract(self, value: Value, shift: int = 0) -> None:
        """Subtracts value·2^shift, signed or not."""
        signed = value.shape().signed
        for i in range(len(value)):
            self.bit(value[i], i + shift, negative=not (signed and i == len(value) - 1))

    def constant(self, number: int) -> None:
        """Adds a constant."""
        self._constant += number

    def multiply(self, a: Value, b: Value, shift: int = 0) -> None:
        """Adds a·b·2^shift, either signed or not: the terms of their bits, those with one sign subtracted."""
        signs = [len(value) - 1 if value.shape().signed else -1 for value in (a, b)]
        for i in range(len(a)):
            for j in range(len(b)):
                self.bit(a[i] & b[j], i + j + shift, negative=(i == signs[0]) != (j == signs[1]))

    def rows(self) -> tuple[Value, Value]:
        """Two numbers whose sum modulo 2^width is that of all terms."""
        columns = [list(column) for column in self._columns]
        for weight in range(self.width):
            if (self._constant >> weight) & 1:
                columns[weight].append(Const(1, 1))
        heights = [2]
        while heights[-1] < max(map(len, columns)):
            heights.append(heights[-1] * 3 // 2)
        for height in reversed(heights):
            for weight in range(self.width):
                column = columns[weight]
                while len(column) > height:
                    few = 3 if len(column) > height + 1 else 2
                    a, b, c = [*column[:few], Const(0, 1)][:3]
                    del column[:few]
                    total, *carry = self.adder(weight, a, b, c)
                    column.append(total)
                    if carry:
                        columns[weight + 1] += carry
        zero = Const(0, 1)
        first, second = (Cat(column[i] if len(column) > i else zero for column in columns) for i in (0, 1))
        return first, second

    def adder(self, weight: int, a: Value, b: Value, c: Value) -> list[Value]:
        """The sum of three bits, and their carry where the heap has a place for it."""
        half = wire(self.m, "half", a ^ b)
        made = [wire(self.m, "sum", half ^ c)]
        if weight + 1 < self.width:
            made.append(wire(self.m, "carry", (a & b) | (half & c)))
        return made

    def total(self) -> Value:
        """The sum, signed."""
        first, second = self.rows()
        return (first + second)[: self.width].as_signed()
