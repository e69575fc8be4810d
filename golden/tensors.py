"""The tensors of a checkpoint: which there are, in one safetensors file or many, and parts of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from golden.errors import GossetError
from golden.files import named, read_bytes, reason
from golden.given import shown

LISTING = "packed.json"
"""The file that says what a folder of packed tensors holds."""

INDEX = "model.safetensors.index.json"
"""Hugging Face's list of which tensor is in which file."""

MOST_LISTED = 1 << 28
"""Bytes of a listing or an index at most."""

REAL = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Types of tensors that are packed; others hold indices or codes."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a checkpoint.

    Parameters
    ----------
    name : str
    file : Path
    dtype : str
        As safetensors names it.
    shape : tuple of int
    """

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def matrix(self) -> bool:
        """Whether it is a matrix of real numbers."""
        return len(self.shape) == 2 and 0 not in self.shape and self.dtype in REAL

    def read(self, start: int, stop: int, *, transposed: bool) -> NDArray[Any]:
        """Some rows; some columns, as rows, where it is transposed.

        Raises
        ------
        GossetError
            If the file has changed since it was listed.
        """
        try:
            with safe_open(self.file, framework="np") as file:  # anew for each part, or what was read stays in memory
                whole = file.get_slice(self.name)
                return np.asarray(whole[:, start:stop].T if transposed else whole[start:stop])
        except (OSError, SafetensorError, ValueError) as error:
            raise GossetError(f"{named(self.file)} changed while it was packed: {error}.") from error


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a folder, or a safetensors file by its name or an index of such."""
    return path.is_dir() or path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json")


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a folder of such, by name.

    Parameters
    ----------
    path : Path
        A file, a folder as Hugging Face has them, or the index in it.

    Raises
    ------
    GossetError
        If nothing is there, a file is damaged or packed already, or a tensor is in two files or in none.
    """
    if path.is_dir():
        if (path / LISTING).exists():
            raise GossetError(f"{named(path)} holds packed tensors already: gosset info lists them.")
        if (path / INDEX).exists():
            return _indexed(path / INDEX)
        if not (files := sorted(path.glob("*.safetensors"))):
            raise GossetError(f"{named(path)} holds no safetensors files, as checkpoints of Hugging Face do.")
    elif path.suffix == ".json":
        return _indexed(path)
    else:
        files = [path]
    found: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _listed(file).items():
            if name in found:
                raise GossetError(f"{shown(name)} is in both {named(found[name].file)} and {named(file)}.")
            found[name] = tensor
    return found


def _indexed(index: Path) -> dict[str, Tensor]:
    """The tensors that an index names."""
    try:
        places = json.loads(read_bytes(index, MOST_LISTED))["weight_map"]
        if not all(isinstance(file, str) and Path(file).name == file for file in places.values()):
            raise ValueError("a file of it is elsewhere")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, GossetError):
            raise
        raise GossetError(f"{named(index)} is no index of safetensors files: {reason(ValueError(error))}.") from error
    files = {file: _listed(index.parent / file) for file in sorted(set(places.values()))}
    for name, file in places.items():
        if name not in files[file]:
            raise GossetError(f"{named(index)} has {shown(name)} in {file}, which lacks it.")
    return {name: files[file][name] for name, file in places.items()}


def _listed(file: Path) -> dict[str, Tensor]:
    """The tensors of a file."""
    if not file.is_file():
        raise GossetError(f"Cannot read {named(file)}: there is no such file.")
    try:
        with safe_open(file, framework="np") as opened:
            if "gosset" in (opened.metadata() or {}):
                raise GossetError(f"{named(file)} is a packed matrix already.")
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {n: Tensor(n, file, s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
    except (OSError, SafetensorError) as error:
        raise GossetError(f"{named(file)} is no safetensors file, or is damaged: {error}.") from error
