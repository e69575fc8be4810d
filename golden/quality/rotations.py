"""Rotations of rows by products of matrices, which NumPy does faster than additions; they round otherwise."""

from functools import cache

import numpy as np

from golden.quality.llama import Array
from golden.universal import Rotation, hadamard

LONG = 1024
"""Entries of a row from which on a rotation is made of transforms, and not one product with its matrix."""

_rotation = cache(Rotation)


@cache
def rotation(columns: int) -> Array:
    """The rotation of rows as a matrix to multiply them with: the products are faster than transforms in NumPy."""
    return _rotation(columns).forward(np.eye(columns, dtype=np.float32))


def rotated(x: Array) -> Array:
    """Rows times `rotation`, the quickest way."""
    columns = x.shape[1]
    return x @ rotation(columns) if columns < LONG else _rotation(columns).forward(x, _by_products)


def _by_products(x: Array) -> Array:
    """`hadamard` by two products, of two factors of its matrix; they round otherwise than its additions."""
    side = 1 << (x.shape[1].bit_length() - 1) // 2
    across = (x.reshape(-1, x.shape[1] // side) @ _hadamard(x.shape[1] // side)).reshape(len(x), side, -1)
    return (_hadamard(side) @ across).reshape(x.shape)


@cache
def _hadamard(size: int) -> Array:
    return hadamard(np.eye(size, dtype=np.float32))
