"""A workload: the matrix products that a network asks for, and what of it is no matrix product."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from golden.errors import GossetError

Kind = Literal["weights", "kv", "activations"]
"""What the second operand of a product is: constant weights, keys or values that stay from token to token, or
activations that were computed just before."""

LIMIT = 2**31 - 1
"""The most that M, N, K or a count can be."""

MOST_MACS = 2**62
"""The most multiply-accumulates of a workload: every model of its time counts them in 64 bits."""


def checked(value: object, what: str) -> int:
    """The value as a size.

    Raises
    ------
    GossetError
        If it is no integer from 1 to `LIMIT`; `what` begins the sentence.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise GossetError(f"{what} must be a whole number, but it is {value!r}.")
    if not 1 <= value <= LIMIT:
        raise GossetError(f"{what} must be from 1 to {LIMIT:,}, but it is {value:,}.")
    return value


@dataclass(frozen=True)
class Layer:
    """`count` products `(m, k)` × `(n, k)`ᵀ of the same shape, each with operands of its own.

    Parameters
    ----------
    name : str
    m, n, k : int
        Rows of activations, rows of the second operand, entries that are summed.
    count : int
    kind : "weights", "kv" or "activations"
        What the second operand is.

    Raises
    ------
    GossetError
        If a number is no integer from 1 to `LIMIT`, or the kind is unknown.
    """

    name: str
    m: int
    n: int
    k: int
    count: int = 1
    kind: Kind = "weights"

    def __post_init__(self) -> None:
        for size in ("m", "n", "k", "count"):
            checked(getattr(self, size), f"{size} of layer {self.name!r}")
        if self.kind not in get_args(Kind):
            raise GossetError(
                f"kind of layer {self.name!r} must be one of {', '.join(get_args(Kind))}, but it is {self.kind!r}."
            )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all of them."""
        return self.count * self.m * self.n * self.k


@dataclass(frozen=True)
class Unmapped:
    """A part of a network that multiplies, or may do so, and is in no layer.

    Attributes
    ----------
    node, operator, reason : str
    """

    node: str
    operator: str
    reason: str


@dataclass(frozen=True)
class Workload:
    """The products of one pass through a network.

    Parameters
    ----------
    name : str
    layers : tuple of Layer
        At least one.
    unmapped : tuple of Unmapped
    others : mapping
        How many nodes of each operator multiply no matrices.
    notes : tuple of str
        What a reader of the numbers has to know.

    Raises
    ------
    GossetError
        If there is no layer, or they are too many multiply-accumulates.
    """

    name: str
    layers: tuple[Layer, ...]
    unmapped: tuple[Unmapped, ...] = ()
    others: Mapping[str, int] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            left = "".join(f"; {u.node} ({u.operator}): {u.reason}" for u in self.unmapped[:1])
            raise GossetError(f"{self.name} has no matrix product that can be mapped{left}.")
        if self.macs > MOST_MACS:
            raise GossetError(f"{self.name} has {self.macs:.1e} multiply-accumulates; at most 2^62 can be counted.")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    def entries(self, kind: Kind) -> int:
        """Entries of all second operands of a kind: of "weights", the parameters that are multiplied."""
        return sum(layer.count * layer.n * layer.k for layer in self.layers if layer.kind == kind)
