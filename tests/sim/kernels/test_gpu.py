"""The GPU's kernels on this machine's processor: the same source, thread after thread."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golden.errors import GossetError, ToolError
from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from sim.kernels import gpu, sass
from tests.sim.kernels.test_product import random_int8, random_packed

COMPILED = [Format(16), Format(2, (1,)), Format(64, (1, 2, 3, 5, 7, 11, 13, 15)), Format(8, (3, 4, 9))]
"""Formats that are compiled for the tests: with 0 to 3 bits of β, the smallest and the largest q."""


def compare(host, x, w):
    np.testing.assert_array_equal(gpu.matmul(host, x, w).accumulators, matmul(x, w).accumulators)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([*((fmt, 1) for fmt in COMPILED), (COMPILED[0], 3)]),
    st.integers(1, 50),
    st.integers(1, 1300),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_accumulators_equal_goldens(kind, rows, columns, splits, warps, seed):
    (fmt, m), rng = kind, np.random.default_rng(seed)
    compare(gpu.Host(splits, warps), random_int8(m, columns, rng), random_packed(fmt, rows, columns, rng))


@pytest.mark.parametrize("fmt", COMPILED, ids=str)
def test_the_largest_sums(fmt):
    rng = np.random.default_rng(0)
    w = random_packed(fmt, 16, 4096, rng)
    x = random_int8(1, 4096, rng)
    x.values[:] = np.where(w.integers[:1] < 0, -127, 127)
    compare(gpu.Host(2), x, w)


def test_packed_activations():
    rng = np.random.default_rng(1)
    compare(gpu.Host(), random_packed(Format(8, (3, 4, 9)), 3, 696, rng), random_packed(Format(16), 20, 696, rng))
    with pytest.raises(GossetError, match="does not fit"):
        compare(gpu.Host(), random_packed(Format(64), 1, 64, rng), random_packed(Format(16), 1, 64, rng))


@pytest.mark.parametrize("fmt", [COMPILED[0], COMPILED[1], COMPILED[3]], ids=str)
def test_expanded_weights_are_the_integers(fmt):
    w = random_packed(fmt, 37, 904, np.random.default_rng(2))
    out = gpu.Host(1, 2).expand(gpu.Laid.of(w))
    np.testing.assert_array_equal(out[:37, :904], w.integers)


def test_a_unit_takes_no_more_room_than_its_blocks():
    w = quantize(np.random.default_rng(3).standard_normal((32, 1024), dtype=np.float32), Format(16))
    laid = gpu.Laid.of(w)
    assert 8 * (laid.labels.nbytes + laid.betas.nbytes) == 32 * 1024 * 4.25


@pytest.mark.parametrize("m", [1, 2, 3, 7, 8, 9, 31])
def test_rows_of_activations_come_in_as_few_calls_as_can_be(m):
    found = gpu.pieces(m)
    assert [first for first, _ in found] == [sum(rows for _, rows in found[:k]) for k in range(len(found))]
    assert sum(rows for _, rows in found) == m
    assert len(found) == m // 8 + (m % 8).bit_count()


class Module:
    """What CuPy makes of the source: here, a library for this machine's processor."""

    def __init__(self, code, options, backend):
        assert backend == "nvrtc"
        rows = next(int(line.split()[2]) for line in code.splitlines() if line.startswith("#define ROWS"))
        self.rows = rows
        type(self).made.append(code)

    def get_function(self, name):
        library = gpu._library(Format(16), self.rows, ("-O1",))
        call = getattr(library, name.replace("gosset_", "gosset_host_"))

        def launch(grid, block, arguments):
            assert block == (gpu.WARP, 2)
            *arrays, last = arguments
            rows = grid[0] * gpu.TILE
            numbers = [rows, last] if name == "gosset_expand" else [arrays.pop(), last]
            pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
            call(*pointers, *(int(number) for number in numbers), grid[1], block[1])

        return launch


def test_what_is_launched_on_a_gpu(monkeypatch):
    """CuPy's part is played by NumPy: grids, blocks and arguments are what the kernels take."""
    Module.made = []
    cupy = SimpleNamespace(
        RawModule=Module, asarray=np.asarray, asnumpy=np.asarray, empty=np.empty,
        cuda=SimpleNamespace(Device=lambda: SimpleNamespace(attributes={"MultiProcessorCount": 4})),
    )  # fmt: skip
    monkeypatch.setitem(__import__("sys").modules, "cupy", cupy)
    gpu._module.cache_clear()
    rng = np.random.default_rng(4)
    w = random_packed(Format(16), 40, 3000, rng)
    cuda = gpu.Cuda(warps=2, waves=2)
    compare(cuda, random_int8(3, 3000, rng), w)
    np.testing.assert_array_equal(cuda.expand(gpu.Laid.of(w))[:40, :3000], w.integers)
    assert cuda.grid(3, 6) == ((3, 3), (32, 2))
    assert cuda.grid(1000, 6)[0] == (1000, 1)
    gpu._module.cache_clear()


def test_without_cupy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(ToolError, match=r"gosset\[gpu\]"):
        gpu.Cuda()


LISTING = """\
.text.gosset_expand:
.L_x_1:
        /*0000*/                   LOP3.LUT R1, R2, R3, R4, 0x96, !PT ;
        /*0010*/                   LOP3.LUT R1, R2, R3, R4, 0x96, !PT ;
        /*0020*/              @!P0 BRA `(.L_x_1) ;
.text.gosset_product:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_2:
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/              @P1  LOP3.LUT R1, R2, R3, R4, 0x96, !PT ;
        /*0030*/                   IDP.4A.S8.S8 R1, R2, R3, R4 ;
        /*0040*/              @!P0 BRA `(.L_x_2) ;
        /*0050*/               @P0 BRA `(.L_x_3) ;
.L_x_3:
        /*0060*/                   EXIT ;
"""


def test_the_loop_is_what_is_counted():
    assert sass.loop(LISTING, "gosset_product") == {"LDG": 1, "LOP3": 1, "IDP": 1, "BRA": 1}
    assert sass.loop(LISTING, "gosset_expand") == {"LOP3": 2, "BRA": 1}
    with pytest.raises(ToolError, match="has no loop"):
        sass.loop(LISTING, "gosset_other")


def test_what_limits_a_gpu():
    """At 640 operations for 32 blocks, 20 each, 132 · 64 · 1.98e9 / 20 blocks a second of 4.25 bytes are 3.55 TB/s."""
    found = sass.bound({"LOP3": 600, "SHF": 40, "IMAD": 500}, Format(16))
    assert found == pytest.approx({"H100": 1.0, "H200": 3.554e12 / 4.8e12}, rel=1e-3)


def test_machine_code():
    try:
        counts = sass.loop(sass.listing(Format(4), 1, "sm_90"), "gosset_product")
    except ToolError as error:
        pytest.skip(str(error))
    # A decoder of 178 operations, and no more than twice as many again to expand its planes.
    assert 178 < counts["LOP3"] < 3 * 178
    assert counts["IDP"] == 64 + 16
