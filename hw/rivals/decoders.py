"""Decoders of weights alone, for cells that multiply integers by int8: QuIP#'s E8P, and a trellis code."""

from functools import reduce
from operator import xor

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from golden.lattice import DIM
from golden.rivals.e8p import patterns
from golden.rivals.trellis import MASKS, WIDTH, hashed
from hw.values import register, wire


class E8PDecoder(wiring.Component):
    """A word of E8P to four times its codeword, integers of five bits: latency `LATENCY`, one block per cycle.

    A word is, from its lowest bit, 8 bits of pattern, the signs of the first seven coordinates, and whether the shift
    is −¼. The eighth sign makes the coordinates' sum even.

    Members
    -------
    i : In(16); o : Out(eight integers)
    """

    LATENCY = 1

    def __init__(self) -> None:
        self.unit = "rival_e8p_decoder"
        super().__init__({"i": In(16), "o": Out(ArrayLayout(signed(5), DIM))})

    def elaborate(self, platform: object) -> Module:
        """A table of magnitudes; signs; the shift; the register."""
        m = Module()
        index, signs, shift = self.i[:8], self.i[8:15], self.i[15]
        sizes = np.rint(4 * patterns()).astype(int)  # 2, 6 or 10
        odd = patterns().sum(axis=1).astype(int) & 1
        last = wire(m, "last_sign", reduce(xor, signs) ^ _look_up(odd, index))
        for i, sign in enumerate([*signs, last]):
            # ±4p ± 1 is an odd number: a 1, and above it ±2p, or one less.
            size = wire(m, f"size_{i}", Cat(_look_up((sizes[:, i] // 2) >> j, index) for j in range(3)))
            m.d.comb += self.o[i].eq(Cat(Const(1, 1), register(m, f"o_{i}", (Mux(sign, -size, size) - shift)[:4])))
        return m


class TrellisDecoder(wiring.Component):
    """A ring of bits to integers, see `golden.rivals.trellis.hashed`: eight weights per cycle, latency `LATENCY`.

    A ring is read as its last word, whose weights are dropped, and then all its words in order: the first windows
    begin in the last word.

    Parameters
    ----------
    bits : int
        Per weight, 2 to 4.

    Members
    -------
    i : In(8·bits)
        The bits of eight weights, those of the first one highest.
    o : Out(eight odd integers)
    """

    LATENCY = 2
    WINDOW = 12

    def __init__(self, bits: int):
        self.bits, self.unit = bits, f"rival_trellis_decoder_{bits}"
        super().__init__({"i": In(DIM * bits), "o": Out(ArrayLayout(signed(WIDTH[bits] + 1), DIM))})

    def elaborate(self, platform: object) -> Module:
        """The last windows' bits; hashes; a table of 64 magnitudes and a sign; the register."""
        m = Module()
        masks, values = MASKS[self.bits], hashed(self.bits).astype(int)
        windows = np.arange(len(values))
        index = sum((np.bitwise_count(windows & mask).astype(int) & 1) << i for i, mask in enumerate(masks[:-1]))
        table = np.zeros(64, dtype=int)
        table[index] = np.abs(values)
        held = Signal(DIM * self.bits + self.WINDOW - self.bits, reset_less=True)
        m.d.sync += held.eq(Cat(self.i, held))
        for i in range(DIM):
            window = held.bit_select((DIM - 1 - i) * self.bits, self.WINDOW)
            bits = (reduce(xor, (window[k] for k in range(self.WINDOW) if mask >> k & 1)) for mask in masks)
            *place, sign = (wire(m, f"hash_{i}", bit) for bit in bits)
            # −(2h + 1) is 2·~h + 1.
            half = Cat(_look_up(table >> (j + 1), Cat(place)) ^ sign for j in range(WIDTH[self.bits] - 1))
            m.d.comb += self.o[i].eq(Cat(Const(1, 1), register(m, f"o_{i}", Cat(half, sign))))
        return m


def _look_up(column: np.ndarray, index: Value) -> Value:
    """The lowest bits of a column of numbers, at an index."""
    table = sum((int(bit) & 1) << k for k, bit in enumerate(column))
    return Const(table, len(column)).bit_select(index, 1)
