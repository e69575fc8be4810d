"""A layer of an encoder as the accelerator computes it: from product to product without a host, but for softmax, layer
norm and GELU.

Rows of activations are int16, in units that are known before (`PackedLayer.of`). A front end packs them, with one
multiplier for all rows of a product; weights are packed; an output stage gives results their bias and makes them int16
again, in the units of whoever reads them next. In the products of attention the weights are activations as well: keys,
and values column by column, which a front end packs too.

The order of the layer is written once, `Machine.forward`: in float32 (`Floats`), in the accelerator's integers
(`Fixed`), or on the accelerator.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from golden.errors import GossetError
from golden.format import PackedMatrix
from golden.frontend import FrontEndRules, Multiplier
from golden.matmul import matmul
from golden.output import Columns, OutputRules
from golden.quantize import quantize

Array = NDArray[np.float32]
Integers = NDArray[np.integer[Any]]

EPSILON = np.float32(1e-12)

LINEAR = {
    "query": ("attention.self.query", "x"),
    "key": ("attention.self.key", "x"),
    "value": ("attention.self.value", "x"),
    "attention": ("attention.output.dense", "mixed"),
    "wide": ("intermediate.dense", "middle"),
    "narrow": ("output.dense", "active"),
}
"""The linear layers by what comes out of them: their name in a checkpoint, and what goes in."""

MARGIN = 2.0
"""How much larger than the largest number of the samples a number may be before it is clipped."""

HEADROOM = 1.1
"""By how much the front end's scales are larger than the best ones for the samples: what the samples did not have
overloads otherwise."""

OUTPUT = OutputRules(result="int16")
"""The output stage."""


def softmax(x: Array) -> Array:
    """Of the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """Of the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + EPSILON) * weight + bias


def gelu(x: Array) -> Array:
    """x·Φ(x)."""
    return x * np.float32(0.5) * (1 + erf(x * np.float32(np.sqrt(0.5))))


@dataclass(frozen=True, eq=False)
class EncoderLayer:
    """A layer of a BERT encoder.

    Parameters
    ----------
    tensors : dict of str to float32 arrays
        By their names in a checkpoint, without the layer's prefix.
    heads : int
    """

    tensors: dict[str, Array]
    heads: int

    def weight(self, name: str) -> Array:
        """The matrix `(outputs, inputs)` of a linear layer of `LINEAR`."""
        return self.tensors[f"{LINEAR[name][0]}.weight"]

    def bias(self, name: str) -> Array:
        """Its bias `(outputs,)`."""
        return self.tensors[f"{LINEAR[name][0]}.bias"]

    def normalised(self, name: str, x: Array) -> Array:
        """The layer norm of that name."""
        return layer_norm(x, self.tensors[f"{name}.LayerNorm.weight"], self.tensors[f"{name}.LayerNorm.bias"])

    @property
    def width(self) -> int:
        """Of the rows that go in and come out."""
        return self.weight("query").shape[1]

    @property
    def head_width(self) -> int:
        """Of a head."""
        return self.width // self.heads

    def shapes(self, tokens: int) -> dict[str, tuple[int, int]]:
        """Rows and columns of everything that is computed, in its order; heads are below each other in the rows of
        scores and weights, and beside each other elsewhere."""
        row, wide = (tokens, self.width), (tokens, self.weight("wide").shape[0])
        pairs = (self.heads * tokens, tokens)
        return (
            {name: row for name in ("x", "query", "key", "value")}
            | {"score": pairs, "weight": pairs, "mixed": row, "attention": row, "middle": row}
            | {"wide": wide, "active": wide, "narrow": row, "result": row}
        )


class Machine(ABC):
    """Something that computes a layer, one sentence at a time: numbers go in and come out as float32.

    Parameters
    ----------
    layer : EncoderLayer
    """

    def __init__(self, layer: EncoderLayer):
        self.layer = layer

    @abstractmethod
    def begin(self, tokens: int) -> None:
        """A sentence of so many tokens comes."""

    @abstractmethod
    def put(self, name: str, values: Array) -> None:
        """Keeps what the host has computed."""

    @abstractmethod
    def get(self, name: str) -> Array:
        """What was kept, or computed."""

    @abstractmethod
    def linear(self, name: str) -> None:
        """The product of `LINEAR` of that name, with its bias."""

    @abstractmethod
    def scores(self) -> None:
        """query·keyᵀ/√(width of a head) for each head."""

    @abstractmethod
    def mix(self) -> None:
        """weight·value for each head."""

    def forward(self, x: Array) -> Array:
        """The layer: x float32 `(tokens, width)` to the same. What is between the products is all that a host does."""
        layer = self.layer
        self.begin(len(x))
        self.put("x", x)
        for name in ("query", "key", "value"):
            self.linear(name)
        self.scores()
        self.put("weight", softmax(self.get("score")))
        self.mix()
        self.linear("attention")
        self.put("middle", layer.normalised("attention.output", self.get("x") + self.get("attention")))
        self.linear("wide")
        self.put("active", gelu(self.get("wide")))
        self.linear("narrow")
        self.put("result", layer.normalised("output", self.get("middle") + self.get("narrow")))
        return self.get("result")


class Floats(Machine):
    """The layer in float32.

    Attributes
    ----------
    values : dict of str to float32 arrays
        Everything that was computed.
    """

    def begin(self, tokens: int) -> None:
        """Forgets what was."""
        self.values: dict[str, Array] = {}

    def put(self, name: str, values: Array) -> None:
        """As it is."""
        self.values[name] = values

    def get(self, name: str) -> Array:
        """As it is."""
        return self.values[name]

    def linear(self, name: str) -> None:
        """x·wᵀ + bias."""
        self.values[name] = self.values[LINEAR[name][1]] @ self.layer.weight(name).T + self.layer.bias(name)

    def scores(self) -> None:
        """All heads at once."""
        score = (
            self._heads("query") @ self._heads("key").transpose(0, 2, 1) / np.float32(np.sqrt(self.layer.head_width))
        )
        self.values["score"] = score.reshape(-1, score.shape[-1])

    def mix(self) -> None:
        """All heads at once."""
        value = self._heads("value")
        weight = self.values["weight"].reshape(len(value), -1, value.shape[1])
        self.values["mixed"] = (weight @ value).transpose(1, 0, 2).reshape(value.shape[1], -1)

    def _heads(self, name: str) -> Array:
        """`(heads, tokens, width of a head)`."""
        values = self.values[name]
        return values.reshape(len(values), self.layer.heads, -1).transpose(1, 0, 2)


@dataclass(frozen=True, eq=False)
class Product:
    """A product of rows that lie in a larger matrix, into another one.

    Attributes
    ----------
    source, target : str
        Names of the matrices.
    rows : int
    source_at, target_at : tuple of int
        Row and column of either where it begins.
    w : PackedMatrix
        Rotated as the front end does it, and as long as whole segments, beyond which columns of the source are zeros.
    columns : Columns
        Of the output stage.
    """

    source: str
    target: str
    rows: int
    source_at: tuple[int, int]
    target_at: tuple[int, int]
    w: PackedMatrix
    columns: Columns


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """A layer made ready for the accelerator.

    Parameters
    ----------
    layer : EncoderLayer
    rules : FrontEndRules
        With scales from the host, and segments that a head is a multiple of.
    units : dict of str to float
        What 1 is in the int16 of each matrix.
    multipliers : dict of str to Multiplier
        The front end's for the rows of each matrix that goes through it.
    weights : dict of str to PackedMatrix
    columns : dict of str to Columns
        Of the linear layers.
    """

    layer: EncoderLayer
    rules: FrontEndRules
    units: dict[str, float]
    multipliers: dict[str, Multiplier]
    weights: dict[str, PackedMatrix]
    columns: dict[str, Columns]

    @classmethod
    def of(cls, layer: EncoderLayer, rules: FrontEndRules, samples: Sequence[Array]) -> "PackedLayer":
        """Packs the weights; units and multipliers are those of samples, inputs `(tokens, width)` of the layer.

        Raises
        ------
        GossetError
            If the front end measures scales, takes no int16, or a head is no whole number of segments.
        """
        if rules.scale != "host" or rules.raw_bits != 16:
            raise GossetError("A layer goes through a front end of 16 raw bits whose scales come from the host.")
        if layer.head_width % rules.length:
            raise GossetError(f"A head of {layer.head_width} columns is no multiple of segments of {rules.length}.")
        floats = Floats(layer)
        seen: dict[str, list[Array]] = {}
        for x in samples:
            floats.forward(x)
            for name, values in floats.values.items():
                seen.setdefault(name, []).append(values)
        largest = {name: max(float(np.abs(values).max()) for values in some) for name, some in seen.items()}
        units = {name: MARGIN * value / np.iinfo(np.int16).max for name, value in largest.items()}
        multipliers = {}
        for name in ("x", "query", "key", "value", "weight", "mixed", "middle", "active"):
            turned = (values.T if name == "value" else values for values in seen[name])
            rows = [rules.rotate_floats(_padded(values / units[name], rules.length)).ravel() for values in turned]
            every = quantize(np.concatenate(rows)[None], rules.format, selection="first")
            multipliers[name] = rules.multiplier(HEADROOM * every.scales)
        weights, columns = {}, {}
        for name, (_, source) in LINEAR.items():
            weights[name] = w = quantize(rules.rotate_floats(layer.weight(name)), rules.format)
            unit = units[source] * rules.scales(multipliers[source]) * w.scales.astype(np.float64)
            bias = np.rint(layer.bias(name) / unit).astype(np.int64)
            columns[name] = Columns.of(unit / units[name], bias)
        return cls(layer, rules, units, multipliers, weights, columns)

    def linear(self, name: str, tokens: int) -> list[Product]:
        """The product of a linear layer."""
        return [Product(LINEAR[name][1], name, tokens, (0, 0), (0, 0), self.weights[name], self.columns[name])]

    def scores(self, keys: Sequence[PackedMatrix], tokens: int) -> list[Product]:
        """The products of queries with the packed keys of each head."""
        unit = self._unit("query") * self._unit("key") / np.sqrt(self.layer.head_width) / self.units["score"]
        width = self.layer.head_width
        return [
            Product("query", "score", tokens, (0, i * width), (i * tokens, 0), key, _even(unit, tokens))
            for i, key in enumerate(keys)
        ]

    def mix(self, values: Sequence[PackedMatrix], tokens: int) -> list[Product]:
        """The products of weights with the packed values of each head."""
        unit, width = self._unit("weight") * self._unit("value") / self.units["mixed"], self.layer.head_width
        return [
            Product("weight", "mixed", tokens, (i * tokens, 0), (0, i * width), value, _even(unit, width))
            for i, value in enumerate(values)
        ]

    def encode(self, name: str, rows: Integers) -> PackedMatrix:
        """Rows of a matrix `(rows, columns)` as the front end packs them."""
        return self.rules.run(self.padded(rows), multiplier=self.multiplier(name, len(rows)))[0]

    def multiplier(self, name: str, rows: int) -> Multiplier:
        """That of a matrix, for so many rows."""
        mantissa, exponent = (np.repeat(part, rows) for part in self.multipliers[name])
        return Multiplier(mantissa, exponent)

    def padded(self, rows: Integers) -> Integers:
        """Rows filled up with zeros to whole segments."""
        return _padded(rows, self.rules.length)

    def product(self, product: Product, source: Integers) -> tuple[PackedMatrix, Integers]:
        """The packed rows of a product, and its results int16 `(rows, N)`, from the source matrix."""
        row, column = product.source_at
        x = self.encode(product.source, source[row : row + product.rows, column : column + product.w.columns])
        return x, OUTPUT.finish(matmul(x, product.w).accumulators, product.columns)

    def _unit(self, name: str) -> float:
        """What 1 is in the packed rows of a matrix."""
        return self.units[name] * float(self.rules.scales(self.multipliers[name])[0])


class Fixed(Machine):
    """The layer in the accelerator's numbers; here they are computed by the golden model.

    Parameters
    ----------
    packed : PackedLayer

    Attributes
    ----------
    values : dict of str to int16 arrays
        Everything that was computed.
    """

    def __init__(self, packed: PackedLayer):
        super().__init__(packed.layer)
        self.packed = packed

    def begin(self, tokens: int) -> None:
        """Forgets what was."""
        self.tokens = tokens
        shapes = self.layer.shapes(tokens)
        self.values: dict[str, Integers] = {name: np.zeros(shape, dtype=np.int16) for name, shape in shapes.items()}

    def put(self, name: str, values: Array) -> None:
        """Rounded to the matrix's unit, and clipped."""
        limits = np.iinfo(np.int16)
        rounded = np.clip(np.rint(values / self.packed.units[name]), limits.min, limits.max)
        self.write(name, rounded.astype(np.int16))

    def get(self, name: str) -> Array:
        """In the matrix's unit."""
        return (self.read(name) * self.packed.units[name]).astype(np.float32)

    def linear(self, name: str) -> None:
        """By the front end, the array and the output stage, as all products."""
        self.multiply(name, self.packed.linear(name, self.tokens))

    def scores(self) -> None:
        """The keys of a head become weights."""
        keys = self.encode("key", self._heads("key"))
        self.multiply("score", self.packed.scores(keys, self.tokens))

    def mix(self) -> None:
        """The columns of the values of a head become weights."""
        values = self.encode("value", [head.T for head in self._heads("value")])
        self.multiply("mixed", self.packed.mix(values, self.tokens))

    def _heads(self, name: str) -> list[Integers]:
        return np.split(self.read(name), self.layer.heads, axis=1)

    def write(self, name: str, values: Integers) -> None:
        """Keeps a matrix of int16."""
        self.values[name] = values

    def read(self, name: str) -> Integers:
        """A matrix of int16."""
        return self.values[name]

    def encode(self, name: str, heads: Sequence[Integers]) -> list[PackedMatrix]:
        """Packs rows of activations that become weights, those of each head."""
        return [self.packed.encode(name, rows) for rows in heads]

    def multiply(self, name: str, products: Sequence[Product]) -> None:
        """Products that make a matrix."""
        for product in products:
            row, column = product.target_at
            _, results = self.packed.product(product, self.values[product.source])
            self.values[name][row : row + product.rows, column : column + product.w.shape[0]] = results


def _padded(values: Any, length: int) -> NDArray[Any]:
    """Rows filled up with zeros to whole segments."""
    return np.pad(values, ((0, 0), (0, -values.shape[1] % length)))


def _even(scale: float, count: int) -> Columns:
    """So many columns of one scale, without a bias."""
    return Columns.of(np.full(count, scale), np.zeros(count, dtype=np.int64))
