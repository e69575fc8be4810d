"""Calibration data of layers: inputs they have seen, or the Hessians of those, from a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from golden.arrayfiles import read_array
from golden.arrays import as_matrix, real
from golden.errors import GossetError
from golden.files import named
from golden.given import shown

Kind = Literal["inputs", "hessians"]

Floats = NDArray[np.float64]


def hessian_of(inputs: Any) -> Floats:
    """E[x·xᵀ] over inputs `(samples, K)`: float64 `(K, K)`; raises GossetError if they are no finite matrix."""
    x = as_matrix(inputs).astype(np.float64)
    return np.asarray(x.T @ x / len(x))


@dataclass(frozen=True)
class Calibration:
    """What is known of the inputs of layers.

    Parameters
    ----------
    path : Path
        A safetensors file with a matrix for each layer, under the name of its weights; or a .npy file for one layer.
    kind : "inputs" or "hessians"
        Whether a matrix is inputs `(samples, K)`, or their mean x·xᵀ `(K, K)`.
    """

    path: Path
    kind: Kind

    def identity(self) -> list[Any]:
        """What tells it from another."""
        stat = self.path.stat()
        return [self.kind, self.path.name, stat.st_size, stat.st_mtime_ns]

    def check(self, columns: Mapping[str, int]) -> None:
        """Whether it fits layers with so many inputs, by name; not all of them need be in it.

        Raises
        ------
        GossetError
            If it cannot be read, is for other layers, or has a matrix of another shape.
        """
        shapes = self._shapes()
        if not shapes.keys() & columns.keys():
            some = ", ".join(shown(name) for name in list(shapes)[:3]) or "nothing"
            raise GossetError(f"{named(self.path)} has {some}, but none of the weights: it has their names.")
        for name in shapes.keys() & columns.keys():
            shape, width = shapes[name], columns[name]
            if shape[1:] != (width,) or (self.kind == "hessians" and shape != (width, width)):
                wanted = f"{width} × {width}" if self.kind == "hessians" else f"samples × {width}"
                raise GossetError(
                    f"{named(self.path)}: {shown(name)} must be {wanted}, but it is {' × '.join(map(str, shape))}."
                )

    def hessian(self, name: str | None = None) -> Floats | None:
        """E[x·xᵀ] of a layer, float64 `(K, K)`; None if there is none. Without a name, that of a .npy file.

        Raises
        ------
        GossetError
            If it cannot be read, or is no finite matrix.
        """
        if name is None:
            data: Any = read_array(self.path)
        elif name not in self._shapes():
            return None
        else:
            with self._opened() as file:
                data = file.get_tensor(name)
        try:
            return hessian_of(data) if self.kind == "inputs" else real(data, "A Hessian").astype(np.float64)
        except GossetError as error:
            raise GossetError(f"{named(self.path)}{f', {shown(name)}' if name else ''}: {error}") from error

    def _opened(self) -> Any:
        if not self.path.is_file():
            raise GossetError(f"Cannot read {named(self.path)}: there is no such file.")
        try:
            return safe_open(self.path, framework="np")
        except (OSError, SafetensorError) as error:
            raise GossetError(
                f"{named(self.path)} is no safetensors file, or is damaged: {error}. Calibration data of a checkpoint "
                "are a matrix for each layer, under the name of its weights."
            ) from error

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        with self._opened() as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
