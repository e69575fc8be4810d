"""How the beats of a stream lie in memory: rows of 32-bit words, and the payloads packed into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.errors import GossetError

__all__ = ["Field", "Layout", "Words"]

#: Rows of 32-bit words.
Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Field:
    """Where one payload port lies in a beat.

    Attributes:
        port: Name of the port.
        offset: Index of its first 32-bit word in the beat.
        words: 32-bit words it takes.
        width: Bits it has; those above them in its words are zero.
    """

    port: str
    offset: int
    words: int
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A stream, and how its beats are laid out as rows of 32-bit words, little endian.

    Attributes:
        stream: Name of the stream.
        inward: Whether the design consumes it.
        always_ready: Whether it has no ready: every offered beat is taken.
        fields: Its payload ports, in the order of the metadata; each starts at a word of its own.
    """

    stream: str
    inward: bool
    always_ready: bool
    fields: tuple[Field, ...]

    @property
    def words(self) -> int:
        """32-bit words per beat."""
        return sum(item.words for item in self.fields)

    def pack(self, values: Mapping[str, ArrayLike]) -> Words:
        """Lays out payloads as beats.

        Args:
            values: For each payload port its values: shape (beats,), non-negative integers, for a port of at most 64
                bits; or shape (beats, words of the port), uint32, for any port.

        Returns:
            Shape (beats, words of the beat), uint32.

        Raises:
            GossetError: A port is missing or unknown, the lengths differ, or a value does not fit its port.
        """
        if set(values) != {item.port for item in self.fields}:
            names = ", ".join(item.port for item in self.fields)
            raise GossetError(
                f"A beat of stream {self.stream} is made of {names}; got {', '.join(values) or 'nothing'}."
            )
        columns = [_words_of(item, np.asarray(values[item.port])) for item in self.fields]
        if len({len(column) for column in columns}) != 1:
            raise GossetError(f"The ports of stream {self.stream} have different numbers of beats.")
        beats = np.concatenate(columns, axis=1)
        self.check(beats)
        return beats

    def unpack(self, beats: Words) -> dict[str, NDArray[Any]]:
        """Takes beats apart: the inverse of `pack`.

        Args:
            beats: Shape (beats, words of the beat), uint32.

        Returns:
            For each port its values: shape (beats,), uint32 or (from 33 bits on) uint64; from 65 bits on shape
            (beats, words of the port), uint32.
        """
        return {item.port: _values_of(beats[:, item.offset : item.offset + item.words]) for item in self.fields}

    def check(self, beats: Words) -> None:
        """Raises GossetError where `beats` is not of shape (any, words), uint32, or a value does not fit its port."""
        if beats.dtype != np.uint32 or beats.ndim != 2 or beats.shape[1] != self.words:
            raise GossetError(
                f"Stream {self.stream} takes uint32 beats of shape (beats, {self.words}); got {beats.dtype} of shape "
                f"{beats.shape}."
            )
        seen = np.bitwise_or.reduce(beats, axis=0)
        for item in self.fields:
            spare = item.words * 32 - item.width
            if spare and int(seen[item.offset + item.words - 1]) >> (32 - spare):
                raise GossetError(f"A value of {item.port} in stream {self.stream} does not fit its {item.width} bits.")


def _words_of(item: Field, values: NDArray[Any]) -> Words:
    """Returns the values of one port as rows of its words."""
    if values.ndim == 2 and values.shape[1] == item.words and values.dtype == np.uint32:
        return values
    if values.ndim != 1 or values.dtype.kind not in "iub" or item.words > 2:
        raise GossetError(
            f"{item.port} takes integers of shape (beats,)"
            f"{'' if item.words <= 2 else ' only up to 64 bits'}, or uint32 of shape (beats, {item.words}); got "
            f"{values.dtype} of shape {values.shape}."
        )
    if values.size and int(values.min()) < 0:
        raise GossetError(f"{item.port} takes non-negative values; got {values.min()}.")
    wide = values.astype("<u8").view("<u4").reshape(-1, 2)
    if item.words == 1 and wide[:, 1].any():
        raise GossetError(f"A value of {item.port} does not fit its {item.width} bits.")
    return wide[:, : item.words]


def _values_of(words: Words) -> NDArray[Any]:
    """Returns rows of words as one integer each, where NumPy has one that is wide enough."""
    if words.shape[1] == 1:
        return words[:, 0]
    if words.shape[1] == 2:
        return np.ascontiguousarray(words).view("<u8")[:, 0]
    return words
