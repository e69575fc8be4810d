"""The products that are compared: layers of networks, each with few and with many rows of activations."""

from dataclasses import dataclass
from typing import Any

from sim.compare.records import Record
from sim.workloads.builtin import NAMES
from sim.workloads.layers import Layer
from sim.workloads.load import load

BATCHES = (1, 16, 256)
"""Rows of activations."""

MOST_WEIGHTS, MOST_QUICK = 1 << 26, 1 << 24
"""Weights of a layer at most, and where it must go quickly; larger layers are left out, and said to be."""

NETWORKS = NAMES
"""Where layers are from."""


@dataclass(frozen=True)
class Shape:
    """Weights of one shape in a network.

    Attributes
    ----------
    network, name : str
        The names of all layers with this shape.
    n, k : int
        Rows of weights, and entries of a row.
    """

    network: str
    name: str
    n: int
    k: int

    def layer(self, m: int) -> Layer:
        """The product with m rows of activations."""
        return Layer(self.name, m, self.n, self.k)

    def record(self, m: int, **known: Any) -> Record:
        """What is known of the product with m rows of activations: the other fields of a `Record`."""
        return Record(self.network, self.name, m, self.n, self.k, **known)


def shapes(networks: tuple[str, ...], quick: bool) -> tuple[list[Shape], list[str]]:
    """Shapes of constant weights, and sentences on what is left out; if `quick`, the largest shape of each network."""
    kept: list[Shape] = []
    left: list[str] = []
    most = MOST_QUICK if quick else MOST_WEIGHTS
    for network in networks:
        names: dict[tuple[int, int], list[str]] = {}
        for layer in load(network).layers:
            if layer.kind == "weights":
                names.setdefault((layer.n, layer.k), []).append(layer.name)
        found = [Shape(network, ", ".join(some), n, k) for (n, k), some in names.items()]
        large = [shape for shape in found if shape.n * shape.k > most]
        small = [shape for shape in found if shape not in large]
        if quick:
            small = sorted(small, key=lambda shape: shape.n * shape.k)[-1:]
        kept += small
        left += [f"{network} {s.name}: {s.n * s.k:,} weights are more than {most:,}" for s in large]
    return kept, left
