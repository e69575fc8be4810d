"""What operands weigh in each format: everything that is stored, scales and padding included."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from golden.format import Format
from golden.lattice import DIM
from sim.workloads.layers import Workload

RESULT_BITS = 32
"""Bits of a result, as it leaves an accelerator that sums integers."""


@dataclass(frozen=True)
class Rate:
    """Bits of a matrix whose rows are cut into groups, the last one padded.

    Parameters
    ----------
    bits : int
        Of an entry.
    group : int
        Entries of a group.
    group_bits, row_bits, matrix_bits : int
        Of what a group, a row and the matrix have beside their entries.
    word : int
        Bits of the words that what the groups of a row have fills up.
    """

    bits: int
    group: int = 1
    group_bits: int = 0
    row_bits: int = 0
    matrix_bits: int = 0
    word: int = 1

    @classmethod
    def of(cls, format: Format) -> "Rate":
        """Of a packed format."""
        return cls(format.m, DIM, format.beta_bits, row_bits=32, word=32)

    @property
    def per_entry(self) -> float:
        """Bits per entry of long rows."""
        return self.bits + self.group_bits / self.group

    def of_matrix(self, rows: int, columns: int) -> int:
        """Bits of a `(rows, columns)` matrix."""
        groups = -(-columns // self.group)
        beside = -(-groups * self.group_bits // self.word) * self.word
        return rows * (groups * self.group * self.bits + beside + self.row_bits) + self.matrix_bits


RATES: Mapping[str, Rate] = MappingProxyType(
    {f"E8 q={q}": Rate.of(Format(q)) for q in (4, 8, 16)}
    | {
        "int4-g64": Rate(4, 64, 16),
        "MXFP4": Rate(4, 32, 8),
        "NVFP4": Rate(4, 16, 8, matrix_bits=32),
        "int8": Rate(8, row_bits=32),
        "fp16": Rate(16),
    }
)
"""The formats whose bytes a workload is told in, by the names that `gosset quality` gives them."""


@dataclass(frozen=True)
class Traffic:
    """Bytes that products read and write when each operand is read once and each result is written once.

    Attributes
    ----------
    weights, kv, activations : int
        Bytes read. Activations are all first operands, and the second ones that were computed just before.
    results : int
        Bytes written, four per entry.
    """

    weights: int
    kv: int
    activations: int
    results: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.kv + self.activations + self.results


def traffic(workload: Workload, rate: Rate) -> Traffic:
    """The bytes of a workload with all operands at one rate; each matrix takes whole bytes."""
    read = {"weights": 0, "kv": 0, "activations": 0}
    for layer in workload.layers:
        read[layer.kind] += layer.count * _bytes(rate.of_matrix(layer.n, layer.k))
        read["activations"] += layer.count * _bytes(rate.of_matrix(layer.m, layer.k))
    results = sum(layer.count * layer.m * layer.n for layer in workload.layers) * RESULT_BITS // 8
    return Traffic(**read, results=results)


def _bytes(bits: int) -> int:
    return -(-bits // 8)
