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


class Structure:
    """Words of a structure whose fields are numbers or arrays of numbers.

    Parameters
    ----------
    layout : StructLayout

    Attributes
    ----------
    width : int
        Bits of a word.
    """

    def __init__(self, layout: data.StructLayout):
        self.width: int = layout.size
        self._fields = [
            (name, field.offset, Shape.cast(getattr(field.shape, "elem_shape", field.shape)).width, field.width)
            for name, field in layout
        ]

    def pack(self, values: Mapping[str, Any]) -> int:
        """The word of these values; those without a field are left out."""
        word = 0
        for name, offset, width, whole in self._fields:
            word |= pack([values[name]] if width == whole else values[name], width) << offset
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """The fields of a word, as unsigned numbers."""
        return {name: word >> offset & ((1 << width) - 1) for name, offset, _, width in self._fields}

    def widths(self) -> dict[str, int]:
        """Bits of each field."""
        return {name: width for name, _, _, width in self._fields}
