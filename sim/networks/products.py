"""The matrix products inside the operators of ONNX: what MatMul, Gemm and Conv multiply, and what becomes of it.

Rows of both operands are what is summed along: a product is x·wᵀ, x `(count, M, K)` and w `(count, N, K)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Products:
    """`count` products of the same shape.

    Parameters
    ----------
    x : `(count, M, K)`
    w : `(count, N, K)`
    finish : callable
        Makes the operator's result of the products `(count, M, N)`.
    """

    x: Array
    w: Array
    finish: Callable[[Array], Array]


def of_matmul(a: Array, b: Array) -> Products:
    """NumPy's rules of broadcasting. Where all share one second operand, it is one product."""
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape: tuple[int, ...] = (*batch, left.shape[-2], right.shape[-1])
    if prod(right.shape[:-2]) == 1:
        x = np.broadcast_to(left, (*batch, *left.shape[-2:])).reshape(1, -1, left.shape[-1])
        w = right.reshape(1, *right.shape[-2:])
    else:
        x = np.broadcast_to(left, (*batch, *left.shape[-2:])).reshape(-1, *left.shape[-2:])
        w = np.broadcast_to(right, (*batch, *right.shape[-2:])).reshape(-1, *right.shape[-2:])

    def finish(y: Array) -> Array:
        y = y.reshape(shape)
        y = y[..., 0, :] if a.ndim == 1 else y
        return y[..., 0] if b.ndim == 1 else y

    return Products(x, w.swapaxes(1, 2), finish)


def of_gemm(a: Array, b: Array, c: Array | None, attributes: dict[str, Any]) -> Products:
    """alpha·A·B + beta·C, each matrix transposed or not."""
    x = a.T if attributes.get("transA") else a
    w = b if attributes.get("transB") else b.T
    alpha, beta = (np.asarray(attributes.get(name, 1.0), a.dtype) for name in ("alpha", "beta"))
    return Products(x[None], w[None], lambda y: alpha * y[0] + (0 if c is None else beta * c))


def of_conv(x: Array, w: Array, bias: Array | None, attributes: dict[str, Any]) -> Products:
    """im2col: a row for each place of the result, an entry for each weight of a filter; a product for each group."""
    axes = x.ndim - 2
    kernel, groups = w.shape[2:], attributes.get("group", 1) or 1
    strides = attributes.get("strides") or [1] * axes
    dilations = attributes.get("dilations") or [1] * axes
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *_padding(x.shape[2:], spans, strides, attributes)])
    windows = sliding_window_view(padded, spans, axis=tuple(range(2, 2 + axes)))
    places, steps = ((slice(None, None, n) for n in numbers) for numbers in (strides, dilations))
    windows = windows[(slice(None), slice(None), *places, *steps)]  # batch, channel, places, kernel
    count, size = len(x), windows.shape[2 : 2 + axes]
    split = windows.reshape(count, groups, x.shape[1] // groups, *size, *kernel)
    order = (1, 0, *range(3, 3 + axes), 2, *range(3 + axes, 3 + 2 * axes))
    rows = split.transpose(order).reshape(groups, count * prod(size), -1)

    def finish(y: Array) -> Array:  # groups, batch·places, filters
        y = y.reshape(groups, count, prod(size), -1).transpose(1, 0, 3, 2).reshape(count, -1, *size)
        return y if bias is None else y + bias.reshape(-1, *(1,) * axes)

    return Products(rows, w.reshape(groups, w.shape[0] // groups, -1), finish)


def _padding(
    size: tuple[int, ...], spans: list[int], strides: list[int], attributes: dict[str, Any]
) -> list[tuple[int, int]]:
    """Zeros before and after each axis."""
    axes, automatic = len(size), attributes.get("auto_pad") or "NOTSET"
    if automatic == "VALID":
        return [(0, 0)] * axes
    if automatic == "NOTSET":
        pads = attributes.get("pads") or [0] * 2 * axes
        return list(zip(pads[:axes], pads[axes:], strict=True))
    whole = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, spans, strides, strict=True)]
    return [(p // 2, p - p // 2) if automatic == "SAME_UPPER" else (p - p // 2, p // 2) for p in whole]
