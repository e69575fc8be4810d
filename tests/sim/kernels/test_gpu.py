"""The GPU's kernels on this machine's processor: the same source, thread after thread."""

import ctypes
from collections import Counter
from pathlib import Path
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
from sim.kernels.launches import ON_TENSOR_CORES, Wide
from tests.sim.kernels.test_product import random_int8, random_packed

COMPILED = [Format(16), Format(2, (1,)), Format(64, (1, 2, 3, 5, 7, 11, 13, 15)), Format(8, (3, 4, 9))]
"""Formats that are compiled for the tests: with 0 to 3 bits of β, the smallest and the largest q."""


def compare(host, x, w):
    np.testing.assert_array_equal(gpu.matmul(host, x, w).accumulators, matmul(x, w).accumulators)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([*((fmt, 1) for fmt in COMPILED), (COMPILED[0], 5), (COMPILED[0], 13), (COMPILED[2], 9)]),
    st.integers(1, 80),
    st.integers(1, 2100),
    st.sampled_from([1, 16]),
    st.integers(0, 2**32 - 1),
)
def test_accumulators_equal_goldens(kind, rows, columns, processors, seed):
    """With tensor cores (8 and 16 rows of activations) and without; blocks of threads share tiles, or do not."""
    (fmt, m), rng = kind, np.random.default_rng(seed)
    compare(gpu.Host(processors), random_int8(m, columns, rng), random_packed(fmt, rows, columns, rng))


def test_many_rows_of_activations():
    """Two blocks of 64, whose warps share activations; the last panel of four is not there."""
    rng = np.random.default_rng(5)
    compare(gpu.Host(), random_int8(67, 1100, rng), random_packed(Format(16), 100, 1100, rng))


@pytest.mark.parametrize(
    "fmt, how, m, rows", [(COMPILED[0], Wide(128, 1), 70, 100), (COMPILED[1], Wide(256, 2), 270, 150)]
)
def test_the_kernel_for_many_rows(fmt, how, m, rows):
    """Two groups of activations, or one that is not full; the last panels of eight are not there; tiles are shared."""
    rng = np.random.default_rng(6)
    x, w = random_int8(m, 1600, rng), random_packed(fmt, rows, 1600, rng)
    laid = gpu.Laid.of(w)
    found = gpu.Host().product(laid, gpu.Activations.of(x, how, laid.tiles))
    np.testing.assert_array_equal(found, matmul(x, w).accumulators)


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
    out = gpu.Host().expand(gpu.Laid.of(w))
    np.testing.assert_array_equal(out[:37, :904], w.integers)


def test_a_unit_takes_no_more_room_than_its_blocks():
    w = quantize(np.random.default_rng(3).standard_normal((32, 1024), dtype=np.float32), Format(16))
    laid = gpu.Laid.of(w)
    assert 8 * (laid.labels.nbytes + laid.betas.nbytes) == 32 * 1024 * 4.25


class Kernel:
    """What CuPy makes of the source: here, a library for this machine's processor."""

    def __init__(self, code="", options=(), backend="nvrtc", path=None):
        assert backend == "nvrtc"
        code = code or Path(path).read_text(encoding="utf-8")
        constants = dict(
            line.split()[1:] for line in code.splitlines() if line.startswith("#define") and line.count(" ") == 2
        )
        kernels = [*ON_TENSOR_CORES, Wide(128, 1), Wide(128, 2)]
        known = {name: int(value) for name, value in constants.items() if value.isdigit()}
        self.how = next(how for how in kernels if how.constants.items() <= known.items())
        self.max_dynamic_shared_size_bytes = 0

    def get_function(self, name):
        self.name = name
        return self

    def __call__(self, grid, block, arguments, shared_mem=0):
        assert block == self.how.threads
        assert shared_mem == self.max_dynamic_shared_size_bytes
        library = gpu._library(Format(16), self.how, ("-O1",))
        given = [a if np.ndim(a) == 0 else ctypes.c_void_p(a.ctypes.data) for a in arguments]
        given = [int(a) if isinstance(a, np.int32) else a for a in given]
        getattr(library, self.name.replace("gosset_", "gosset_host_"))(*given, (ctypes.c_uint * 3)(*grid))


def test_what_is_launched_on_a_gpu(monkeypatch):
    """CuPy's part is played by NumPy: grids, blocks and arguments are what the kernels take."""
    cupy = SimpleNamespace(
        RawModule=Kernel, asarray=np.asarray, asnumpy=np.asarray, empty=np.zeros,
        cuda=SimpleNamespace(
            Device=lambda: SimpleNamespace(attributes={"MultiProcessorCount": 16}, compute_capability="90")
        ),
    )  # fmt: skip
    monkeypatch.setitem(__import__("sys").modules, "cupy", cupy)
    monkeypatch.setattr(gpu, "nvrtc_version", lambda: "of the test")
    monkeypatch.setattr(gpu, "compiled", lambda text, architecture: f"// {architecture}\n{text}".encode())
    gpu._kernel.cache_clear()
    rng = np.random.default_rng(4)
    w, cuda = random_packed(Format(16), 40, 3000, rng), gpu.Cuda()
    for m in (3, 12, 70):
        compare(cuda, random_int8(m, 3000, rng), w)
    np.testing.assert_array_equal(cuda.expand(gpu.Laid.of(w))[:40, :3000], w.integers)
    gpu._kernel.cache_clear()


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
        counts = sass.loop(sass.listing(Format(4), ON_TENSOR_CORES[0], "sm_90"), "gosset_product")
    except ToolError as error:
        pytest.skip(str(error))
    # A decoder of 178 operations, and no more than twice as many again to expand its planes.
    assert 178 < counts["LOP3"] < 3 * 178
    assert counts["IMMA"] == 16


def test_machine_code_for_many_rows():
    """All of a tile's products are in flight at once, twice, and nothing is kept in memory for want of registers."""
    try:
        text = sass.listing(Format(16), Wide(256, 2), "sm_90a")
    except ToolError as error:
        pytest.skip(str(error))
    names = Counter(found[1] for found in sass.INSTRUCTION.finditer(text[text.index(".text.gosset_wide:") :]))
    assert names["IGMMA"] == 16
    assert names["LDL"] == names["STL"] == 0
    assert text.count("WARPGROUP.DEPBAR") == 2
