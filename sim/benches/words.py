"""Numbers side by side in a port."""

from collections.abc import Iterable, Mapping
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data


def pack(values: Iterable[int], width: int) -> int:
    """Values of `width` bits as one word, the first at bit 0."""
    mask, word = (1 << width) - 1, 0
    for i, value in enumerate(values):
        word |= (int(value) & mask) << (i * width)
    return word


def unpack(word: int, width: int, count: int) -> list[int]:
    """The `count` signed values of `width` bits in a word."""
    half, full = 1 << (width - 1), 1 << width
    return [((word >> (i * width) & (full - 1)) ^ half) - half for i in range(count)]


def structure(layout: data.StructLayout, values: Mapping[str, Any]) -> int:
    """The word of a structure whose fields are numbers or arrays of numbers; values without a field are left out."""
    word = 0
    for name, field in layout:
        if isinstance(field.shape, data.ArrayLayout):
            part = pack(values[name], Shape.cast(field.shape.elem_shape).width)
        else:
            part = pack([values[name]], field.width)
        word |= part << field.offset
    return word
