"""The compiled encoder: `golden.rounding.choose`, equal in every bit, and a quantiser with it."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from golden.format import Format
from golden.lattice import DIM, Lanes
from golden.quantize import Rounding
from golden.rounding import FAR, NEAR, PULLS, Selection
from golden.rounding import choose as golden_choose
from sim.kernels.library import load_encoder, supported


def chooser(path: str | None = None) -> Rounding:
    """`golden.rounding.choose`, compiled for a path of `sim.kernels.library.PATHS`: the fastest if none is given.

    It is what `golden.quantize.quantize` takes as `rounding`. Dither and the selection "best" are left to golden.

    Raises
    ------
    ToolError
        If the path is unknown or not supported here, or the compiler is missing or fails.
    """
    library = load_encoder(path or supported()[0])

    def choose(
        x: Lanes, scales: NDArray[np.float32], fmt: Format, selection: Selection, dither: Lanes | None = None
    ) -> tuple[list[NDArray[np.int8]], NDArray[np.uint8], NDArray[np.float32]]:
        if dither is not None or selection == "best":
            return golden_choose(x, scales, fmt, selection, dither)
        lanes = [np.ascontiguousarray(lane, dtype=np.float32) for lane in x]
        rows, blocks = lanes[0].shape
        scales = np.ascontiguousarray(scales, dtype=np.float32)
        shape = (*scales.shape, blocks)
        points = [np.empty(shape, dtype=np.int8) for _ in range(DIM)]
        index, error = np.empty(shape, dtype=np.uint8), np.empty(shape, dtype=np.float32)
        inverse = np.array([1 / beta for beta in fmt.betas], dtype=np.float32)
        square = np.array([beta**2 for beta in fmt.betas], dtype=np.float32)
        pulls = np.array(PULLS, dtype=np.float32)
        library.gosset_choose(
            *(_pointers(lanes), ctypes.c_int64(rows), ctypes.c_int64(blocks)),
            *(_pointer(scales), ctypes.c_int64(scales.size // max(rows, 1)), fmt.m, len(fmt.betas)),
            *(_pointer(inverse), _pointer(square), int(selection == "opt")),
            *(ctypes.c_float(FAR), ctypes.c_float((NEAR * fmt.q) ** 2), _pointer(pulls)),
            *(_pointers(points), _pointer(index), _pointer(error)),
        )
        return points, index, error

    return choose


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _pointers(arrays: list[NDArray[np.float32]] | list[NDArray[np.int8]]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
