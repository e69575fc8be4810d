"""How operands and results of a job lie in a board's memory.

The words of a stream follow each other, each from a new word of memory on: its fields bit by bit, the first at the low
end, and zeros up to the next word of memory. Rows of results likewise: 32 bits a column.
"""

import numpy as np
from amaranth.lib.data import StructLayout
from numpy.typing import NDArray

from fpga.memory import MemoryShape
from hw.design import ACC_BITS
from sim.tiles import Payload


def image(payload: Payload, word: StructLayout, memory: MemoryShape) -> bytes:
    """The image of words of a stream.

    Parameters
    ----------
    payload : dict of str to uint32 `(words, 32-bit words of the port)`
        The words, field by field in the order of `word`.
    word : StructLayout
        Of a word of the stream.
    memory : MemoryShape
    """
    bits = [
        np.unpackbits(np.ascontiguousarray(values, dtype="<u4").view(np.uint8), axis=1, bitorder="little")[
            :, : field.width
        ]
        for values, (_, field) in zip(payload.values(), word, strict=True)
    ]
    joined = np.concatenate(bits, axis=1)
    padding = memory.words_of(joined.shape[1]) * memory.bits - joined.shape[1]
    return np.packbits(np.pad(joined, ((0, 0), (0, padding))), axis=1, bitorder="little").tobytes()


def row_words(columns: int, memory: MemoryShape) -> int:
    """Words of memory that a row of results takes."""
    return memory.words_of(ACC_BITS * columns)


def rows(stored: bytes, columns: int, memory: MemoryShape) -> NDArray[np.uint32]:
    """The rows of results in an image of them: uint32 `(rows, columns)`."""
    lines = np.frombuffer(stored, np.uint8).reshape(-1, row_words(columns, memory) * memory.bytes)
    return np.ascontiguousarray(lines[:, : columns * ACC_BITS // 8]).view("<u4").astype(np.uint32)
