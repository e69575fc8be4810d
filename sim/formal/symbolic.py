"""Golden's own code as a circuit: arrays of NumPy with one element, which is an expression of hardware.

What golden computes on arrays of integers and bools, it computes on these as well, in NumPy's types and with their
overflow: what comes out is the circuit of what golden does. No rule is written down a second time, so that a proof that
compares with it compares with golden itself. What is not known here is an error.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth import Module, Mux, Signal, Value, signed
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike


class Symbol(NDArrayOperatorsMixin):
    """An integer or bool of a NumPy type.

    Parameters
    ----------
    m : Module
        Where its circuit goes.
    value : Value
        As many of its bits are taken as the type has.
    dtype : dtype
        Of integers, or bool.

    Raises
    ------
    TypeError
        If the type is another one, here or in what it is converted to.
    """

    def __init__(self, m: Module, value: Value, dtype: DTypeLike):
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "iub":
            raise TypeError(f"There are no circuits of {self.dtype}.")
        bits = 1 if self.dtype.kind == "b" else 8 * self.dtype.itemsize
        self.value = Signal(signed(bits) if self.dtype.kind == "i" else bits)
        self._m = m
        m.d.comb += self.value.eq(value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """What golden's operators, and NumPy's functions, come to."""
        if ufunc is np.floor_divide and isinstance(inputs[1], int) and inputs[1].bit_count() == 1:
            return inputs[0] >> (inputs[1].bit_length() - 1)  # of which there is a circuit
        if method != "__call__" or ufunc not in _CIRCUITS or set(options) - {"out"}:
            return NotImplemented
        dtype = np.result_type(*(x.dtype if isinstance(x, Symbol) else x for x in inputs))
        operands = [
            x.astype(dtype).value if isinstance(x, Symbol) else Symbol(self._m, Value.cast(int(x)), dtype).value
            for x in inputs
        ]
        result = Symbol(self._m, _CIRCUITS[ufunc](*operands), np.bool_ if ufunc in _COMPARISONS else dtype)
        if "out" not in options:
            return result
        (target,) = options["out"]
        target.value = result.astype(target.dtype).value
        return target

    def astype(self, dtype: DTypeLike, copy: bool = True) -> "Symbol":
        """As NumPy's: numbers wrap around, a bool is whether a number is not zero."""
        value = self.value.any() if np.dtype(dtype).kind == "b" else self.value
        return Symbol(self._m, value, dtype)

    def view(self, dtype: DTypeLike) -> "Symbol":
        """As NumPy's, between types of one size; not to bool."""
        dtype = np.dtype(dtype)
        if dtype.itemsize != self.dtype.itemsize or dtype.kind == "b":
            raise TypeError(f"There is no view of {self.dtype} as {dtype}.")
        return Symbol(self._m, self.value, dtype)

    def clip(self, low: int, high: int, out: None = None) -> "Symbol":
        """As NumPy's."""
        value = Mux(self.value < low, low, Mux(self.value > high, high, self.value))
        return Symbol(self._m, value, self.dtype)

    def copy(self) -> "Symbol":
        """Another symbol of the same value."""
        return self.astype(self.dtype)


_CIRCUITS: dict[np.ufunc, Callable[..., Value]] = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.bitwise_and: lambda a, b: a & b,
    np.bitwise_or: lambda a, b: a | b,
    np.bitwise_xor: lambda a, b: a ^ b,
    np.invert: lambda a: ~a,
    np.right_shift: lambda a, b: a >> b.as_unsigned()[:8],
    np.less: lambda a, b: a < b,
    np.equal: lambda a, b: a == b,
    np.not_equal: lambda a, b: a != b,
    np.minimum: lambda a, b: Mux(b < a, b, a),
    np.absolute: lambda a: Mux(a < 0, -a, a),
}

_COMPARISONS = {np.less, np.equal, np.not_equal}
