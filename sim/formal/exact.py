"""Golden's own code as formulas of integers without bounds, for what follows by linear arithmetic.

As in `sim.formal.symbolic`, golden's functions are run on what stands for arrays of NumPy with one element; but what
comes out are terms of SMT-LIB, and a number is as large as it needs to be. What holds of them holds of golden in
NumPy's types where these hold its numbers. What is not known here is an error.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike


class Terms:
    """Terms with names, each written out once.

    Attributes
    ----------
    lines : list of str
        SMT-LIB: declarations, and definitions by names before them.
    numbers : list of str
        The names of the integers that were made of others.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: list[str] = []

    def integer(self, name: str) -> Any:
        """Any integer, which golden's functions take for an array."""
        self.lines.append(f"(declare-const {name} Int)")
        return Term(self, name, np.int64)

    def bit(self, name: str) -> Any:
        """Any bool, which they do as well."""
        self.lines.append(f"(declare-const {name} Bool)")
        return Term(self, name, np.bool_)

    def made(self, text: str, dtype: DTypeLike, bit: str = "") -> "Term":
        """What is made of others."""
        name = f"made{len(self.lines)}"
        is_bit = np.dtype(dtype).kind == "b"
        self.lines.append(f"(define-fun {name} () {'Bool' if is_bit else 'Int'} {text})")
        if not is_bit:
            self.numbers.append(name)
        return Term(self, name, dtype, bit)


class Term(NDArrayOperatorsMixin):
    """An integer or a bool.

    Parameters
    ----------
    terms : Terms
        Where what is made of it goes.
    name : str
        Its name there.
    dtype : dtype
        Of integers, which have no bounds whatever it says, or bool.
    bit : str
        The name of the bool that it is a view of, if it is one.
    """

    def __init__(self, terms: Terms, name: str, dtype: DTypeLike, bit: str = ""):
        self.dtype, self.name, self.bit = np.dtype(dtype), name, bit
        self._terms = terms

    def __str__(self) -> str:
        return self.name

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """What golden's operators, and NumPy's functions, come to."""
        if method != "__call__" or options:
            return NotImplemented
        bits = [x for x in inputs if isinstance(x, Term) and x.dtype.kind == "b"]
        if len(bits) == len(inputs) and ufunc in _OF_BITS:
            return self._terms.made(_OF_BITS[ufunc](*map(str, inputs)), np.bool_)
        if ufunc is np.multiply and len(bits) == 1:
            (other,) = (x for x in inputs if x is not bits[0])
            return self._terms.made(f"(ite {bits[0]} {other} 0)", other.dtype)
        if ufunc is np.bitwise_and and all(isinstance(x, Term) and x.bit for x in inputs):
            return self._terms.made(f"(and {inputs[0].bit} {inputs[1].bit})", np.bool_).view(np.int8)
        if bits or ufunc not in _OF_NUMBERS or (ufunc in _WITH_CONSTANTS and inputs[1] not in _WITH_CONSTANTS[ufunc]):
            return NotImplemented
        dtype = np.bool_ if ufunc is np.less else np.int64
        return self._terms.made(_OF_NUMBERS[ufunc](*map(str, inputs)), dtype)

    def astype(self, dtype: DTypeLike, copy: bool = True) -> "Term":
        """A number as it is, of whatever size; a bool is whether a number is not zero."""
        if np.dtype(dtype).kind == "b":
            return self._terms.made(f"(not (= {self} 0))", np.bool_)
        return Term(self._terms, self.name, dtype, self.bit)

    def view(self, dtype: DTypeLike) -> "Term":
        """A bool as a number."""
        if self.dtype.kind != "b" or np.dtype(dtype).itemsize != 1:
            raise TypeError(f"There is no view of {self.dtype} as {np.dtype(dtype)}.")
        return self._terms.made(f"(ite {self} 1 0)", dtype, self.name)


_OF_BITS: dict[np.ufunc, Callable[..., str]] = {
    np.bitwise_and: "(and {} {})".format,
    np.bitwise_xor: "(xor {} {})".format,
    np.invert: "(not {})".format,
}

_OF_NUMBERS: dict[np.ufunc, Callable[..., str]] = {
    np.add: "(+ {} {})".format,
    np.subtract: "(- {} {})".format,
    np.multiply: "(* {} {})".format,
    np.less: "(< {} {})".format,
    np.minimum: "(ite (< {1} {0}) {1} {0})".format,
    np.absolute: "(abs {})".format,
    np.floor_divide: "(div {} {})".format,
    np.bitwise_and: "(mod {} 2)".format,
}

_WITH_CONSTANTS = {np.floor_divide: range(1, 1 << 16), np.bitwise_and: (1,)}
"""What of these is known with some constants only."""
