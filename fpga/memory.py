"""What memory a board has for its accelerator."""

from dataclasses import dataclass

from amaranth.utils import ceil_log2

from golden.errors import GossetError

SPRAM_BITS, SPRAM_WORDS = 16, 16384
"""Each of the four large memories of an iCE40 UP5K."""


@dataclass(frozen=True)
class MemoryShape:
    """What memory a board has for its accelerator.

    Parameters
    ----------
    bits : int
        Of a word: 8 to 512, a power of two.
    words : int
        A power of two.
    spram : bool
        In the large memories of an iCE40 UP5K, of which two, or four, make 16 bits a word. They read or write, not both
        in one cycle.

    Raises
    ------
    GossetError
        If there is no such memory.
    """

    bits: int
    words: int
    spram: bool = False

    def __post_init__(self) -> None:
        for name, value, least, most in (("bits", self.bits, 8, 512), ("words", self.words, 16, 1 << 24)):
            if not least <= value <= most or value & (value - 1):
                raise GossetError(f"{name} of a memory must be a power of two from {least} to {most}; got {value}.")
        if self.spram and (self.bits != SPRAM_BITS or self.words not in (2 * SPRAM_WORDS, 4 * SPRAM_WORDS)):
            raise GossetError(
                f"SPRAM has words of {SPRAM_BITS} bits, {2 * SPRAM_WORDS} or {4 * SPRAM_WORDS} of them; got "
                f"{self.words} of {self.bits}."
            )

    @property
    def address_bits(self) -> int:
        """Bits of an address of a word."""
        return ceil_log2(self.words)

    @property
    def bytes(self) -> int:
        """Bytes of a word."""
        return self.bits // 8

    def words_of(self, bits: int) -> int:
        """Words that something of so many bits takes."""
        return -(-bits // self.bits)
