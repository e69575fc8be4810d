"""The arrays of .npy files: every header is checked against the file's size before memory is taken for what it says."""

import ast
import json
import math
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.files import named, reason
from golden.given import shown

MAGIC = b"\x93NUMPY"

MAX_HEADER = 1 << 16
"""Bytes of a .npy file's header at most; NumPy writes a few hundred."""

MAX_LISTING = 1 << 24
"""Bytes of a safetensors file's header at most, to say what it holds."""

WANTED = "a .npy file with one matrix is wanted, as numpy.save writes it"

_OTHERS = (
    (b"PK\x03\x04", "a zip archive, as .npz files and checkpoints of PyTorch are"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x80", "a pickle, which is never run here"),
)
"""What files of other kinds begin with."""

_DESCRIPTION = re.compile(r"[<>|=]?[A-Za-z?]\d*")


def read_array(path: str | Path) -> NDArray[Any]:
    """The array of a .npy file, in C or Fortran order and of either byte order, as it lies there.

    Raises
    ------
    GossetError
        If the file cannot be read, is of another kind (which is named), damaged, cut, longer than its header says, or
        holds no plain numbers. Nothing is unpickled.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe may wait for ever
            raise GossetError(f"{named(path)} is not a file: {WANTED}.")
        with Path(path).open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size, named(path))
    except (OSError, ValueError) as error:
        if isinstance(error, GossetError):
            raise
        raise GossetError(f"Cannot read {named(path)}: {reason(error)}.") from error
    except MemoryError as error:
        raise GossetError(f"Cannot read {named(path)}: it is longer than memory.") from error


def _read(file: BufferedReader, size: int, name: str) -> NDArray[Any]:
    start = file.read(10)
    if not start.startswith(MAGIC):
        raise GossetError(f"{name} is {_kind(start, file, size)}: {WANTED}.")
    version = start[6:8]
    width = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}.get(version)
    if width is None:
        raise GossetError(f"{name} is a .npy file that is damaged, or of a version that is not known here.")
    length = int.from_bytes(start[8:] + file.read(width - 2), "little")
    if length > MAX_HEADER or 8 + width + length > size:
        raise GossetError(f"{name} is a .npy file that is cut or damaged: its header is not whole.")
    dtype, fortran, shape = _header(file.read(length), "utf-8" if version == b"\3\0" else "latin-1", name)
    expected, there = math.prod(shape) * dtype.itemsize, size - 8 - width - length
    if expected != there:
        raise GossetError(
            f"{name} is a .npy file that is cut or damaged: its header says {' × '.join(map(str, shape)) or 'one'} of "
            f"{dtype}, {expected:,} bytes, but {there:,} follow."
        )
    array = np.empty(math.prod(shape), dtype)
    if file.readinto(array.view(np.uint8).data) != expected:
        raise GossetError(f"{name} changed while it was read.")
    return array.reshape(shape, order="F" if fortran else "C")


def _header(text: bytes, encoding: str, name: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """dtype, order and shape."""
    try:
        fields = ast.literal_eval(text.decode(encoding).strip())
        described, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
        if not isinstance(fortran, bool) or not isinstance(shape, tuple):
            raise TypeError("order and shape")
        if any(type(length) is not int or not 0 <= length < 1 << 63 for length in shape):
            raise TypeError("lengths")
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise GossetError(f"{name} is a .npy file whose header is damaged.") from error
    if not isinstance(described, str) or not _DESCRIPTION.fullmatch(described):
        raise GossetError(f"{name} holds records ({shown(described)}), but a matrix of numbers is wanted.")
    try:
        dtype = np.dtype(described)
    except TypeError as error:
        raise GossetError(f"{name} is of a dtype that is not known here, {shown(described)}.") from error
    if dtype.hasobject:
        raise GossetError(f"{name} holds Python objects, which are never unpickled here: save numbers, as float32.")
    if not dtype.itemsize:
        raise GossetError(f"{name} holds entries of no bytes ({shown(described)}), but a matrix of numbers is wanted.")
    return dtype, fortran, shape


def _kind(start: bytes, file: BufferedReader, size: int) -> str:
    """What a file is that is not a .npy file."""
    if not start:
        return "empty, not a .npy file"
    if listed := _safetensors(start, file, size):
        return listed
    return next((kind for magic, kind in _OTHERS if start.startswith(magic)), "not a .npy file")


def _safetensors(start: bytes, file: BufferedReader, size: int) -> str:
    """What a safetensors file holds, or nothing if it is none."""
    length = int.from_bytes(start[:8], "little")
    if len(start) < 10 or start[8:9] != b"{" or not 2 <= length <= min(size - 8, MAX_LISTING):
        return ""
    file.seek(8)
    try:
        header = json.loads(file.read(length))
        if "gosset" in header.get("__metadata__", {}):
            return "a packed matrix already"
        tensors = [f"{key} ({header[key]['dtype']} {header[key]['shape']})" for key in header if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "a safetensors file, and damaged"
    more = f" and {len(tensors) - 3} more" if len(tensors) > 3 else ""
    return f"a safetensors file of {', '.join(shown(t)[1:-1] for t in tensors[:3]) or 'no tensors'}{more}"
