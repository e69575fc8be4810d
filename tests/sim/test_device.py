import numpy as np
import pytest

from fpga.host.device import BoardDevice
from fpga.host.virtual import VirtualBoard
from golden.errors import GossetError, ToolError
from golden.format import Format
from golden.int8 import quantize_int8
from golden.matmul import matmul
from golden.quantize import quantize
from hw.design import PRESETS, DesignPoint
from sim.device import BACKENDS, GpuDevice, RtlDevice, record_waves
from sim.kernels.gpu import Host
from sim.tiles import Job
from tests.fpga.lines import VIRTUAL, serving
from tests.sim.points import POINTS

SMALL = PRESETS["small"]


def operands(design, m, n, k, seed=0):
    rng = np.random.default_rng(seed)
    return [quantize(rng.normal(size=(rows, k)), design.format) for rows in (m, n)]


@pytest.fixture(scope="module", params=[*BACKENDS, "board", "port"])
def device(request):
    """Every backend; the GPU's kernels on this processor, the board in this process and as a serial port."""
    if request.param == "gpu":
        yield GpuDevice(SMALL, Host())
    elif request.param in BACKENDS:
        yield BACKENDS[request.param](SMALL)
    elif request.param == "board":
        yield BoardDevice(VirtualBoard(VIRTUAL), SMALL)
    else:
        with serving(VirtualBoard(VIRTUAL)) as port:
            device = BoardDevice.open(port)
            yield device
            device.close()


@pytest.fixture(scope="module")
def rtl():
    device = RtlDevice(SMALL)
    yield device
    device.close()


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 4, 8), (5, 7, 83), (13, 2, 300), (3, 9, 1024)])
def test_every_backend_gives_goldens_product(device, shape):
    x, w = operands(SMALL, *shape)
    report = device.run(Job(SMALL, x, w))
    expected = matmul(x, w)
    np.testing.assert_array_equal(report.product.accumulators, expected.accumulators)
    np.testing.assert_array_equal(report.product.result, expected.result)


def test_every_backend_takes_plain_activations(device):
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(6, 100)).astype(np.float32), rng.normal(size=(5, 100)).astype(np.float32)
    result = device.matmul(x, quantize(w, SMALL.format))
    assert result.shape == (6, 5) and result.dtype == np.float32
    assert np.abs(result - x @ w.T).max() < 4


def test_every_backend_refuses_what_does_not_fit(device):
    x, w = operands(SMALL, 2, 2, 16)
    other = quantize(np.ones((2, 16)), Format(8))
    with pytest.raises(GossetError, match="equally long"):
        Job(SMALL, x, operands(SMALL, 2, 2, 24)[1])
    with pytest.raises(GossetError, match="Operand w"):
        device.matmul(np.ones((2, 16)), other)
    with pytest.raises(GossetError, match="row 0, column 0 is nan"):
        device.matmul(np.full((2, 16), np.nan), w)


@pytest.mark.parametrize("chunk", range(4))
def test_random_products_equal_golden(rtl, chunk):
    """200 of them in all; half with stalls on every stream."""
    rng = np.random.default_rng(chunk)
    for i in range(50):
        m, n = (int(v) for v in rng.integers(1, 14, 2))
        k = 4096 if i == 0 else int(np.exp(rng.uniform(0, np.log(4096))))
        x, w = operands(SMALL, m, n, k, seed=1000 * chunk + i)
        rtl.stalls, rtl.seed = (0.0, 0.4)[i % 2], i
        report = rtl.run(Job(SMALL, x, w))
        np.testing.assert_array_equal(report.product.accumulators, matmul(x, w).accumulators)
        assert sum(report.counters.values()) == report.cycles
        assert report.counters["busy"] == report.job.beats


def test_the_array_is_kept_busy(rtl):
    rtl.stalls = 0.0
    x, w = operands(SMALL, 64, 64, 1024)
    report = rtl.run(Job(SMALL, x, w))
    assert report.utilisation >= 0.95


@pytest.mark.parametrize("design", [point for point in POINTS if point.int8], ids=lambda point: point.name)
def test_both_dataflows_and_int8(design):
    """With a single row of cells, sums of the same row of accumulators follow each other at once."""
    device, rng = RtlDevice(design), np.random.default_rng(0)
    for i in range(10):
        m, n, k = (int(v) for v in rng.integers(1, (20, 9, 300)))
        x, w = rng.normal(size=(m, k)), quantize(rng.normal(size=(n, k)), design.format)
        device.stalls, device.seed = (0.0, 0.3)[i % 2], i
        if design.packed:
            report = device.run(Job(design, quantize(x, design.format), w))
            np.testing.assert_array_equal(report.product.result, matmul(report.job.x, w).result)
        report = device.run(Job(design, quantize_int8(x), w))
        np.testing.assert_array_equal(report.product.accumulators, matmul(quantize_int8(x), w).accumulators)
        assert report.counters["busy"] == report.job.beats
    np.testing.assert_array_equal(device.matmul(x, w), matmul(device.activations(x), w).result)
    device.close()


def test_the_kind_of_activations_must_be_one_of_the_designs(rtl):
    w = operands(SMALL, 2, 2, 16)[1]
    with pytest.raises(GossetError, match="Activations are int8, but small takes packed ones"):
        Job(SMALL, quantize_int8(np.ones((2, 16))), w)


def test_a_short_tile_waits_for_the_way_out(rtl):
    rtl.stalls = 0.0
    x, w = operands(SMALL, 64, 4, 8)
    report = rtl.run(Job(SMALL, x, w))
    np.testing.assert_array_equal(report.product.accumulators, matmul(x, w).accumulators)
    assert report.counters["drain_blocked"] == 15 * (SMALL.rows - 1)


def test_a_blocked_drain_loses_nothing(rtl):
    rtl.stalls = {"acc": 0.97}
    x, w = operands(SMALL, 40, 12, 16)
    report = rtl.run(Job(SMALL, x, w))
    np.testing.assert_array_equal(report.product.accumulators, matmul(x, w).accumulators)
    assert report.counters["drain_blocked"] > report.counters["busy"]


@pytest.mark.parametrize("fmt", [Format(2, (1,)), Format(32, (1, 2, 3, 6, 9, 11, 13, 15)), Format(64, (5, 15))])
def test_other_formats_and_edges(fmt):
    design = DesignPoint(name="odd", rows=1, cols=1, format=fmt)
    device = RtlDevice(design, stalls=0.2)
    x, w = operands(design, 3, 7, 50)
    np.testing.assert_array_equal(device.run(Job(design, x, w)).product.accumulators, matmul(x, w).accumulators)
    device.close()


def test_extreme_operands_fill_the_accumulator(rtl):
    """Blocks of the largest energy and β, all of one sign, at a K near the limit."""
    rtl.stalls = 0.0
    x, _ = operands(SMALL, 4, 1, 8 * 20000)
    points = np.square(x.integers.reshape(4, -1, 8).astype(np.int64)).sum(axis=-1)
    worst = np.unravel_index(points.argmax(), points.shape)
    x.labels[:], x.betas[:] = x.labels[worst], len(SMALL.format.betas) - 1
    x = type(x)(x.format, x.columns, x.labels, x.betas, x.scales)
    report = rtl.run(Job(SMALL, x, x))
    expected = matmul(x, x).accumulators
    assert expected.min() > 2**28
    np.testing.assert_array_equal(report.product.accumulators, expected)


def test_a_report_says_nothing_of_cycles_without_a_clock():
    x, w = operands(SMALL, 2, 2, 16)
    report = BACKENDS["golden"](SMALL).run(Job(SMALL, x, w))
    assert report.cycles is None and report.utilisation is None and report.counters == {}


def test_waves_are_recorded(tmp_path):
    try:
        path = record_waves(PRESETS["tiny"], tmp_path)
    except ToolError as error:  # a machine without the headers is told so
        assert "liblz4-dev" in str(error)
        assert list(tmp_path.iterdir()) == []
    else:
        assert path.stat().st_size > 1000
        assert list(tmp_path.iterdir()) == [path]
