"""The decoder of the Voronoi code as straight-line logic on bit planes.

Inputs are the planes of a label, in the order of its bits; outputs are what the label does not hold: plane 0 of y at
the redundant positions, and the sign of every coordinate. The other planes of y are planes of the label.

The rule is that of `golden.lattice.soft_decode`, in the terms of the residues r (`golden.voronoi`). With t for plane m,
the soft value of a coordinate is s = (−1)^t·(q/2 − r), and of a pair of coordinates (a, b)

    |s_a + s_b| = |r_a − (r_b ^ n) − n|, n = 1 − (t_a ^ t_b)        |s_a − s_b| = |r_a − (r_b ^ x) − x|, x = t_a ^ t_b

are the costs of turning the pair over if its type is even and odd (^ on all bits of r_b). The sum over the pairs of
their difference is twice the advantage of the even type. The sign of each sum settles the pair by itself; a sum of zero
is a tie, and the first coordinate's hard decision stands.

Residues are a word of the code in their lowest bits, which says two things. All pairs have the same type there, so that
all costs have the same lowest bit. And the advantage is even: it is a sum of ±s over the places where the words of both
types differ, and two words of the code meet in an even number of places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from golden.lattice import DIM, INFORMATION, PARITY, REDUNDANT
from golden.voronoi import exponent
from sim.kernels.logic import Bit, Network, Operation, operations


@dataclass(frozen=True)
class Decoder:
    """The logic for one q.

    Attributes
    ----------
    q : int
    steps : tuple of Operation
        Node 2 + i is plane i of the label.
    outputs : tuple of 12 nodes
        Plane 0 at positions 3, 5, 6, 7, then the signs of the eight coordinates.
    """

    q: int
    steps: tuple[Operation, ...]
    outputs: tuple[Bit, ...]


@cache
def decoder(q: int) -> Decoder:
    """The logic for a q of the format.

    Raises
    ------
    GossetError
        If q is not a power of two from 2 to 64.
    """
    m = exponent(q)
    net = Network(DIM * m)
    label = net.inputs
    low: list[Bit] = [0] * DIM
    for k, i in enumerate(INFORMATION):
        low[i] = label[k]
    for i, positions in PARITY.items():
        low[i] = net.parity(*(low[p] for p in positions))
    top: list[Bit] = [0] * DIM
    for k, i in enumerate(REDUNDANT):
        top[i] = label[DIM * m - 4 + k]
    residue = [[low[i], *(label[DIM * k - 4 + i] for k in range(1, m))] for i in range(DIM)]

    settled: list[list[Bit]] = [[], []]  # first bits of the pairs, plus t_a: [type][pair]
    costs: list[list[list[Bit]]] = [[], []]  # planes of the costs of turning over: [type][pair]
    least: list[list[tuple[list[Bit], Bit]]] = [[], []]  # of two pairs: the lower cost, and whether it is the second's
    parity = net.parity(low[0], low[1])
    swaps = [net.parity(top[i], top[i + 1]) for i in range(0, DIM, 2)]
    turned: list[list[Bit]] = []
    total = _Sum(net)
    for t in (0, 1):
        for j in range(4):
            a, b = residue[2 * j], residue[2 * j + 1]
            flip = swaps[j] if t else net.negation(swaps[j])
            difference = _subtract(net, a, [net.parity(plane, flip) for plane in b], flip, parity)
            size, nonzero = _absolute(net, difference, least=-q if flip else 1 - q)
            costs[t].append(size)
            settled[t].append(net.choice(nonzero, net.negation(difference[-1]), a[-1]))
            # Both sums of a pair have the same lowest bit: half of their difference is that of their halves.
            half = size[1:]
            total.add([net.negation(plane) for plane in half] if t else half)
            if j % 2:
                least[t].append(_minimum(net, *costs[t][-2:]))

        (left, left_second), (right, right_second) = least[t]
        lowest, upper = _minimum(net, left, right)
        odd = net.parity(*settled[t], top[6])
        in_left, in_right = net.add(lambda a, b, _c: a & ~b, odd, upper), net.add(lambda a, b, _c: a & b, odd, upper)
        turned.append(
            [
                net.add(_turned(second), settled[t][j], where, which)
                for j, (where, which, second) in enumerate(
                    [
                        (in_left, left_second, False),
                        (in_left, left_second, True),
                        (in_right, right_second, False),
                        (in_right, right_second, True),
                    ]
                )
            ]
        )
        gated = [net.add(lambda a, b, _c: a & b, plane, odd) for plane in lowest]
        # A sum known to be even has the same carries with a one in place of one of its lowest bits.
        total.add([1, *gated[1:]] if t else [net.negation(plane) for plane in gated])
    # A complement of n planes is 2^n − 1 less the number: four of m planes, and one of m + 1.
    odd_type = total.less_than(4 * (q - 1) + 2 * q - 1, q)

    signs: list[Bit] = [0] * DIM
    for j in range(4):
        signs[2 * j] = net.choice(odd_type, turned[1][j], turned[0][j])
        signs[2 * j + 1] = net.parity(swaps[j], signs[2 * j], odd_type)
    outputs = [*(low[i] for i in REDUNDANT), *signs]
    return Decoder(q, tuple(operations(net, outputs)), tuple(outputs))


def _turned(second: bool) -> Callable[[int, int, int], int]:
    """A pair's bit, turned over where `where` is one and `which` says that the second (or the first) is it."""
    return lambda a, where, which: a ^ (where & (which if second else ~which))


def _subtract(net: Network, a: Sequence[Bit], b: Sequence[Bit], borrow: Bit, lowest: Bit) -> list[Bit]:
    """a − b − borrow, of which the lowest plane is known, with the sign as the last plane."""
    planes: list[Bit] = []
    for x, y in zip(a, b, strict=True):
        planes.append(net.parity(x, y, borrow) if planes else lowest)
        borrow = net.add(lambda x, y, c: (~x & y) | (c & (~x | y)), x, y, borrow)
    return [*planes, borrow]


def _absolute(net: Network, number: Sequence[Bit], least: int) -> tuple[list[Bit], Bit]:
    """The magnitude of a number with sign that may be so low, in as many planes, and whether it is not zero."""
    sign, nonzero, planes = number[-1], 0, []
    for plane in number[:-1]:
        planes.append(net.add(lambda p, s, n: p ^ (s & n), plane, sign, nonzero))
        nonzero = net.add(lambda p, n, _c: p | n, plane, nonzero)
    if least > -1 << len(planes):
        return [*planes, 0], nonzero
    # The most negative number, −2^m, is alone in needing the last plane.
    planes.append(net.add(lambda s, n, _c: s & ~n, sign, nonzero))
    return planes, net.add(lambda s, n, _c: s | n, sign, nonzero)


def _minimum(net: Network, a: Sequence[Bit], b: Sequence[Bit]) -> tuple[list[Bit], Bit]:
    """The lesser of two numbers up to 2^m, of m + 1 planes, and whether b is less than a."""
    less = 0
    for x, y in zip(a, b, strict=True):
        less = net.add(lambda x, y, c: (x & ~y) | (c & (x | ~y)), x, y, less)
    planes = [net.choice(less, y, x) for x, y in zip(a[:-1], b[:-1], strict=True)]
    return [*planes, net.add(lambda x, y, _c: x & y, a[-1], b[-1])], less


class _Sum:
    """A sum of numbers that are not negative, in redundant form: at most two bits per place."""

    def __init__(self, net: Network):
        self.net = net
        self.places: list[list[Bit]] = []

    def add(self, number: Sequence[Bit]) -> None:
        """Adds a number."""
        self._place(len(number) - 1)
        for k, bit in enumerate(number):
            if bit:
                self.places[k].append(bit)
        k = 0
        while k < len(self.places):
            while len(self.places[k]) > 2:
                x, y, z = (self.places[k].pop(0) for _ in range(3))
                self.places[k].append(self.net.parity(x, y, z))
                self._place(k + 1)
                self.places[k + 1].append(self.net.majority(x, y, z))
            k += 1

    def less_than(self, limit: int, step: int) -> Bit:
        """Whether the sum is less than a constant; it is made a multiple of `step`, a power of two, first."""
        rounded = -(-limit // step) * step
        self.add([rounded - limit >> k & 1 for k in range(rounded.bit_length())])
        carry: Bit = 0
        less: Bit = 0
        for k, place in enumerate(self.places):
            x, y = [*place, 0, 0][:2]
            if step >> k <= 1:
                bound = rounded >> k & 1
                less = self.net.choice(self.net.parity(x, y, carry), less if bound else 0, 1 if bound else less)
            carry = self.net.majority(x, y, carry)
        return self.net.add(lambda less, carry, _c: less & ~carry, less, carry)

    def _place(self, k: int) -> None:
        while len(self.places) <= k:
            self.places.append([])
