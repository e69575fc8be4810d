import ctypes
import mmap
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from golden.errors import GossetError, ToolError
from golden.format import Format, PackedMatrix
from golden.int8 import Int8Matrix, quantize_int8
from golden.matmul import matmul, max_columns
from golden.quantize import quantize
from golden.voronoi import RATES, decode, label_dtype
from sim.kernels import library
from sim.kernels.product import Kernels

FORMATS = st.builds(
    lambda q, betas: Format(q, tuple(sorted(betas))),
    st.sampled_from(RATES),
    st.sets(st.integers(1, 15), min_size=1, max_size=8),
)


def random_packed(fmt, rows, columns, rng):
    """Any labels: they need not come from a quantiser."""
    blocks = -(-columns // 8)
    labels = rng.integers(0, 2**63, (rows, blocks), dtype=np.uint64) & np.uint64(fmt.q**8 - 1)
    betas = rng.integers(0, len(fmt.betas), labels.shape).astype(np.uint8)
    scales = rng.random(rows).astype(np.float32)
    return PackedMatrix(fmt, columns, labels.astype(label_dtype(fmt.q)), betas, scales)


def random_int8(rows, columns, rng):
    return Int8Matrix(rng.integers(-127, 128, (rows, columns)).astype(np.int8), rng.random(rows).astype(np.float32))


@pytest.fixture(scope="module", params=library.PATHS)
def kernels(request):
    """Every path that this processor has."""
    if request.param not in library.supported():
        pytest.skip(f"no {request.param} here")
    return Kernels(request.param, threads=2)


def compare(kernels, x, w):
    expected = matmul(x, w)
    for laid in (kernels.lay(w), kernels.straight(w)):
        np.testing.assert_array_equal(laid.product(x).accumulators, expected.accumulators)
        np.testing.assert_array_equal(laid.matmul(x), expected.result)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    FORMATS,
    st.none() | FORMATS,
    st.integers(1, 40),
    st.integers(1, 90),
    st.integers(1, 700),
    st.integers(0, 2**32 - 1),
)
@example(Format(16), None, 1, 16, 256, 0)
@example(Format(16), Format(16), 7, 65, 513, 0)
@example(Format(8, tuple(range(1, 9))), None, 4, 33, 31, 0)
@example(Format(16, tuple(range(1, 9))), None, 5, 64, 1000, 0)
@example(Format(32, (1, 2, 3, 4)), None, 2, 40, 300, 0)
@example(Format(64, (1, 2)), None, 3, 40, 300, 0)
@example(Format(64, (15,)), Format(64, (15,)), 13, 17, 300, 0)
@example(Format(16), None, 37, 83, 3000, 0)
def test_products_equal_goldens(kernels, fmt, other, m, n, k, seed):
    rng = np.random.default_rng(seed)
    x = random_int8(m, k, rng) if other is None else random_packed(other, m, k, rng)
    compare(kernels, x, random_packed(fmt, n, k, rng))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FORMATS, st.integers(1, 40), st.integers(1, 700), st.integers(0, 2**32 - 1))
def test_decoded_entries_equal_goldens(kernels, fmt, rows, columns, seed):
    w = random_packed(fmt, rows, columns, np.random.default_rng(seed))
    for laid in (kernels.lay(w), kernels.straight(w)):
        np.testing.assert_array_equal(laid.integers(), w.integers)


@pytest.mark.parametrize("q", RATES)
def test_what_the_quantiser_makes(kernels, q):
    rng = np.random.default_rng(q)
    x, w = rng.normal(size=(9, 500)), quantize(rng.standard_t(3, size=(50, 500)), Format(q))
    for rows in (1, 2, 3, 4, 9):
        compare(kernels, quantize_int8(x[:rows]), w)
        compare(kernels, quantize(x[:rows], Format(q)), w)
    product = kernels.matmul(w, quantize_int8(x))  # the packed matrix on the left
    np.testing.assert_array_equal(product.accumulators, matmul(w, quantize_int8(x)).accumulators)


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize(
    ("fmt", "other"),
    [
        (Format(16), None),
        (Format(16), Format(16)),
        (Format(64, (15,)), None),
        (Format(64, (15,)), Format(64, (15,))),
        (Format(16, (8,)), None),
        (Format(2, (1,)), None),
    ],
)
def test_the_largest_accumulators(kernels, fmt, other, rows):
    """Blocks of the largest energy and of one sign, and activations to go with them, as long as rows may be."""
    k = min(max_columns(other, fmt), 300_000)
    labels = np.random.default_rng(0).integers(0, 2**63, 5000, dtype=np.uint64) & np.uint64(fmt.q**8 - 1)
    energy = np.square(decode(labels, fmt.q).astype(int)).sum(axis=1)
    worst = labels[energy.argmax()].astype(label_dtype(fmt.q))
    shape = (17, -(-k // 8))
    betas = np.full(shape, len(fmt.betas) - 1, np.uint8)
    w = PackedMatrix(fmt, k, np.full(shape, worst), betas, np.ones(17, np.float32))
    if other is None:
        sign = np.sign(w.integers[:1, :k])
        values = np.repeat(127 * np.where(sign == 0, 1, sign), rows, axis=0).astype(np.int8)
        x = Int8Matrix(values, np.ones(rows, np.float32))
    else:
        x = PackedMatrix(other, k, w.labels[:rows], w.betas[:rows], w.scales[:rows])
    expected = matmul(x, w).accumulators
    assert expected.max() > 2**24
    np.testing.assert_array_equal(kernels.lay(w).product(x).accumulators, expected)


def test_threads_make_no_difference(kernels):
    rng = np.random.default_rng(1)
    w = random_packed(Format(16), 300, 777, rng)
    for rows in (1, 3, 40):
        x = random_int8(rows, 777, rng)
        expected = matmul(x, w).accumulators
        for threads in (1, 2, 5):
            found = Kernels(kernels.path, threads).lay(w).product(x).accumulators
            np.testing.assert_array_equal(found, expected)


def test_a_forked_process_can_multiply():
    rng = np.random.default_rng(2)
    w, x = random_packed(Format(16), 300, 300, rng), random_int8(1, 300, rng)
    laid = Kernels(threads=3).lay(w)
    expected = laid.product(x).accumulators
    child = os.fork()
    if not child:
        os._exit(int((laid.product(x).accumulators != expected).any()))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("q", [2, 4, 8, 16])
def test_nothing_beyond_the_container_is_read(kernels, q):
    """Behind its arrays is a page that must not be touched; whole groups, so that all of it is read in vectors."""
    rng = np.random.default_rng(q)
    w, x = random_packed(Format(q), 32, 512, rng), random_int8(1, 512, rng)
    held = kernels.straight(w)
    held = replace(held, container=tuple(before_a_guard(part) for part in held.container))
    expected = matmul(x, w).accumulators
    child = os.fork()
    if not child:
        os._exit(int((held.product(x).accumulators != expected).any()))
    assert os.waitpid(child, 0)[1] == 0


def before_a_guard(array):
    """A copy whose end is that of the memory that may be read."""
    room = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    whole = np.frombuffer(memory, dtype=np.uint8)
    guard = ctypes.c_void_p(whole.ctypes.data + room)
    assert ctypes.CDLL(None).mprotect(guard, mmap.PAGESIZE, 0) == 0
    copy = whole[room - array.nbytes : room].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


def test_planes_are_as_large_as_the_container(kernels):
    w = random_packed(Format(16), 64, 1024, np.random.default_rng(3))
    assert kernels.lay(w).planes.nbytes == sum(plane.nbytes for plane in w.planes())


def test_what_does_not_fit_is_refused(kernels):
    rng = np.random.default_rng(4)
    laid = kernels.lay(random_packed(Format(16), 4, 64, rng))
    with pytest.raises(GossetError, match="equally long"):
        laid.product(random_int8(1, 72, rng))
    k = max_columns(None, Format(64, (15,))) + 8
    w = random_packed(Format(64, (15,)), 1, k, rng)
    with pytest.raises(GossetError, match="could overflow"):
        kernels.lay(w).product(random_int8(1, k, rng))
    with pytest.raises(GossetError, match="at least one thread"):
        Kernels(kernels.path, threads=0)


def test_paths_that_are_not_there(monkeypatch):
    with pytest.raises(ToolError, match="avx512, avx2, portable"):
        Kernels("sse")
    monkeypatch.setattr(library, "_processor_flags", lambda: frozenset({"avx2"}))
    assert library.supported() == ["avx2", "portable"]
    with pytest.raises(ToolError, match="need avx512f"):
        library.check("avx512")
    monkeypatch.setattr(library, "_processor_flags", lambda: frozenset(library.NEEDED["amx"]) | {"avx2"})
    for allowed, paths in ((True, list(library.PATHS)), (False, ["avx512", "avx2", "portable"])):
        monkeypatch.setattr(library, "_tiles_allowed", lambda allowed=allowed: allowed)
        assert library.supported() == paths


def test_a_compiler_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-fno-such-thing"))
    with pytest.raises(ToolError, match="no-such-thing"):
        library.build("kernels.cpp", ())
