"""Operands and results as memory and AXI4-Stream hold them: bytes, from words of the accelerator's streams and back.

An operand in memory is a pair of planes for each tile (of weights; activations are one tile), one after the other: the
labels of all words back to back, then their β indices if there are any, each filled up with zeros to whole beats of the
bus. Results are rows of 32-bit accumulators back to back, or of what an output stage makes of them.
"""

import numpy as np
from numpy.typing import NDArray

from golden.lattice import DIM
from golden.output import Columns, Rows
from hw.axi.map import DESCRIPTOR_MARK, descriptor_layout
from hw.design import DesignPoint
from hw.engine.banks import w_word, x_word
from sim.tiles import Payload


def operand_image(design: DesignPoint, side: str, words: Payload, tiles: int = 1) -> bytes:
    """The memory image of an operand of one job.

    Parameters
    ----------
    design : DesignPoint
    side : str
        "x" or "w".
    words : Payload
        Of the stream of that side, one job's.
    tiles : int
        Of the weights.
    """
    planes = []
    for name, bits in _widths(design, side).items():
        lines = _bits(words[f"{side}_{name}"], bits).reshape(tiles, -1)
        planes.append(np.pad(lines, ((0, 0), (0, -lines.shape[1] % design.bus_bits))))
    return np.packbits(np.concatenate(planes, axis=1), bitorder="little").tobytes()


def activations_image_codes(
    design: DesignPoint, image: bytes, rows: int, blocks: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Labels and β indices `(rows, blocks)` of packed activations, out of the image of a job's.

    Parameters
    ----------
    design : DesignPoint
    image : bytes
    rows, blocks : int
        Of the job; the blocks that fill up its last step are left out.
    """
    stationary, lanes = design.dataflow == "ws", design.rows
    steps = -(-blocks // lanes) if stationary else blocks
    words = steps * (rows if stationary else -(-rows // lanes))
    planes, start = {"labels": np.zeros(0, np.uint32), "betas": np.zeros((rows, blocks), np.uint32)}, 0
    for (name, bits), size in zip(_widths(design, "x").items(), plane_bytes(design, "x", words), strict=True):
        every = np.unpackbits(np.frombuffer(image, np.uint8, size, start), bitorder="little")[: words * bits]
        start += size
        lane = every.reshape(words * lanes, -1).astype(np.uint32)
        codes = (lane << np.arange(lane.shape[1], dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
        if stationary:  # slice, row, lane
            order = codes.reshape(steps, rows, lanes).transpose(1, 0, 2)
        else:  # row tile, block, lane
            order = codes.reshape(-1, steps, lanes).transpose(0, 2, 1)
        planes[name] = order.reshape(-1, steps * (lanes if stationary else 1))[:rows, :blocks]
    return planes["labels"], planes["betas"]


def plane_bytes(design: DesignPoint, side: str, words: int) -> list[int]:
    """Bytes of each plane of a tile of so many words: of its labels, and of its β indices if there are any."""
    beats = [-(-words * bits // design.bus_bits) for bits in _widths(design, side).values()]
    return [count * design.bus_bits // 8 for count in beats]


def packet(design: DesignPoint, side: str, words: Payload) -> NDArray[np.uint8]:
    """An operand of one job as AXI4-Stream carries it: uint8 `(words, bytes of tdata)`."""
    fields = [_bits(words[f"{side}_{name}"], bits) for name, bits in _widths(design, side).items()]
    return np.packbits(np.concatenate(fields, axis=1), axis=1, bitorder="little")


def raw_image(x: NDArray[np.int64], bits: int, blocks: int, stride: int) -> bytes:
    """The memory image of raw rows: coordinates of so many bits back to back, each row filled up with zeros to so many
    blocks, and so many bytes after the one before it.

    Parameters
    ----------
    x : int `(rows, columns)`
    bits, blocks, stride : int
    """
    padded = np.pad(x, ((0, 0), (0, DIM * blocks - x.shape[1])))
    planes = (padded[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(len(x), -1)
    lines = np.packbits(planes, axis=1, bitorder="little")
    return np.pad(lines, ((0, 0), (0, stride - lines.shape[1]))).tobytes()


def columns_image(design: DesignPoint, columns: Columns, tiles: int) -> bytes:
    """The memory image of what an output stage does with the columns of so many tiles; zeros beyond the last one."""
    words = columns.words(tiles * design.cols).astype("<u8").tobytes()
    return words + bytes(-len(words) % (design.bus_bits // 8))


def rows_image(design: DesignPoint, rows: Rows) -> bytes:
    """The memory image of what an output stage multiplies the rows of a job by."""
    words = rows.words().astype("<u4").tobytes()
    return words + bytes(-len(words) % (design.bus_bits // 8))


def descriptor_image(**fields: int) -> bytes:
    """A job as the ring of descriptors in memory has it: fields of `hw.axi.map.descriptor_layout`, of which those that
    are left out are zero; the mark, if not given, is as it should be."""
    word = descriptor_layout().const({"mark": DESCRIPTOR_MARK} | fields).as_bits()
    return word.to_bytes(descriptor_layout().size // 8, "little")


def result_rows(design: DesignPoint, data: bytes) -> NDArray[np.uint32]:
    """The rows of results in memory, or in the packets of `m_axis_acc`: uint32 `(rows, cols)`, sign and all."""
    kind = design.output.dtype if design.output else np.dtype(np.int32)
    values = np.frombuffer(data, dtype=kind.newbyteorder("<")).astype(np.int32)
    return values.view(np.uint32).reshape(-1, design.cols)


def strided_rows(design: DesignPoint, data: bytes, rows: int, tiles: int, stride: int) -> tuple[bytes, bytes]:
    """The rows of results that lie so many bytes apart, in the order in which they lie without a stride; and what is
    between them.

    Parameters
    ----------
    design : DesignPoint
    data : bytes
        From the first result to the last one.
    rows, tiles, stride : int
    """
    width, size = tiles * design.cols * design.result_bits // 8, result_bytes(design, 1)
    lines = [data[i * stride : i * stride + width] for i in range(rows)]
    tiled = (line[t * size : (t + 1) * size] for t in range(tiles) for line in lines)
    return b"".join(tiled), b"".join(data[i * stride + width : (i + 1) * stride] for i in range(rows - 1))


def result_bytes(design: DesignPoint, rows: int) -> int:
    """Bytes of so many rows of results."""
    return rows * design.cols * design.result_bits // 8


def _widths(design: DesignPoint, side: str) -> dict[str, int]:
    return {name: field.width for name, field in {"x": x_word, "w": w_word}[side](design)}


def _bits(words: NDArray[np.uint32], bits: int) -> NDArray[np.uint8]:
    """The low bits of wide words: uint8 `(words, bits)`."""
    every = np.unpackbits(np.ascontiguousarray(words.astype("<u4")).view(np.uint8), axis=1, bitorder="little")
    return every[:, :bits]
