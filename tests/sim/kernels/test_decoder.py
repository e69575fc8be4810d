from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.lattice import REDUNDANT
from golden.voronoi import RATES, decode, label_dtype
from sim.kernels.decoder import decoder
from sim.kernels.logic import Network, evaluate, expression, operations

MOST = {2: 64, 4: 144, 8: 216, 16: 285, 32: 354, 64: 423}
"""Operations of the decoders today: a change that makes more should be a decision."""


def planes(labels, q):
    bits = [(labels >> np.uint64(k)) & np.uint64(1) for k in range(8 * (q.bit_length() - 1))]
    return [np.packbits(plane.astype(np.uint8), bitorder="little").view(np.uint64) for plane in bits]


def bits(words):
    return np.unpackbits(words.view(np.uint8), bitorder="little")


@pytest.mark.parametrize("q", RATES)
def test_the_logic_is_goldens_decoder(q):
    """Every label of q = 2 and 4, many of the others: ties are frequent at all rates."""
    count = q**8 if q <= 4 else 1 << 18
    labels = np.arange(count, dtype=np.uint64)
    if q > 4:
        labels = np.random.default_rng(q).integers(0, q**8, count, dtype=np.uint64)
    logic = decoder(q)
    value = evaluate(logic.steps, planes(labels, q))
    y = decode(labels.astype(label_dtype(q)), q)
    for k, i in enumerate(REDUNDANT):
        np.testing.assert_array_equal(bits(value[logic.outputs[k]]), y[:, i] & 1)
    for i in range(8):
        np.testing.assert_array_equal(bits(value[logic.outputs[4 + i]]), y[:, i] < 0)


@pytest.mark.parametrize("q", RATES)
def test_the_logic_is_small(q):
    assert len(decoder(q).steps) <= MOST[q]


def test_expressions_have_their_truth_tables():
    for table in range(256):
        found = eval(expression(table), {"a": 0xF0, "b": 0xCC, "c": 0xAA}) & 0xFF
        assert found == table


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_covers_compute_what_was_built(data):
    """Random networks on all values of five inputs."""
    net = Network(5)
    nodes = [0, 1, *net.inputs]
    for _ in range(data.draw(st.integers(1, 25))):
        table = data.draw(st.integers(0, 255))
        sources = [data.draw(st.sampled_from(nodes)) for _ in range(3)]

        def function(a, b, c, table=table):
            terms = [
                (a if case & 4 else ~a) & (b if case & 2 else ~b) & (c if case & 1 else ~c)
                for case in range(8)
                if table >> case & 1
            ]
            return sum(terms[i] & ~sum(terms[:i]) for i in range(len(terms)))

        nodes.append(net.add(function, *sources))
    outputs = nodes[-3:]
    cases = np.array(list(product((0, 1), repeat=5)), dtype=np.uint64).T
    inputs = [np.packbits(np.pad(case, (0, 32)).astype(np.uint8), bitorder="little").view(np.uint64) for case in cases]
    plain = evaluate(
        [step for node in range(7, len(net.tables)) for step in [operation(net, node)]],
        inputs,
    )
    covered = evaluate(operations(net, outputs), inputs)
    for output in outputs:
        np.testing.assert_array_equal(covered[output], plain[output])


def operation(net, node):
    from sim.kernels.logic import Operation

    sources = net.sources[node]
    return Operation(node, net.tables[node], (sources + sources[-1:] * 2)[:3])
