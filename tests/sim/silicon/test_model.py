from dataclasses import replace

import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from hw.design import PRESETS
from sim.models.cycles import Memory, cycles
from sim.models.schedule import Machine
from sim.silicon import compose, model
from sim.silicon.tables import load, memories


def unit(compute, idle=0.0, drain=0.0, *, area=1.0, flops=1, leakage=0.0, macs=0):
    events = {name: {"total": value} for name, value in (("compute", compute), ("idle", idle), ("drain", drain))}
    row = {"area_um2": area, "flops": flops, "leakage_nw": leakage, "macs": macs, "period_ps": 1000.0}
    return row | {"events": events}


def table(**units):
    known = {"cell_q16": unit(0), "decoder_q16": unit(0), "norm_q16": unit(0), "hop_q16": unit(0)}
    return {"about": {}, "units": known | {f"stationary_{name}": row for name, row in units.items()} | units}


SMALL, M, N, K = PRESETS["small"], 8, 12, 256


@pytest.fixture(scope="module")
def count():
    return cycles(Machine.of(SMALL), M, N, K)


def estimate(**units):
    return model.estimate(SMALL, table(**units), M, N, K)


def test_cells_compute_in_busy_cycles_and_wait_in_the_others(count):
    found = estimate(cell_q16=unit(2.0, 0.5, 0.5))
    assert found.compute == count.busy * 16 * 2.0
    assert found.waiting == (count.cycles - count.busy) * 16 * 0.5
    assert (found.drain, found.leakage) == (0, 0)


def test_edges_and_hops(count):
    assert estimate(decoder_q16=unit(1.0)).compute == estimate(norm_q16=unit(1.0)).compute == count.busy * 8
    # Rows and columns 1, 2 and 3 have as many registers each.
    assert estimate(hop_q16=unit(1.0)).compute == count.busy * 12


def test_a_lean_design_has_units_of_its_own_and_no_norms():
    lean = replace(SMALL, pipeline="lean")
    units = table(cell_q16_lean=unit(2.0), decoder_q16_lean=unit(1.0), hop_q16_lean=unit(0), norm_q16=unit(7.0))
    cell, edges = 16 * 2.0, 8 * 1.0
    assert model.estimate(lean, units, M, N, K).compute == cycles(Machine.of(lean), M, N, K).busy * (cell + edges)
    assert "norm" not in model.names(lean)


def test_energies_of_what_is_shipped_are_those_of_the_tables():
    memory = Memory(2, 3, 50, 50)
    found = model.shipped(SMALL, M, N, K, memory=memory)
    assert list(found) == ["asap7", "ihp"]
    for name, energies in found.items():
        assert energies.total == model.estimate(SMALL, load(name), M, N, K, memory=memory).total
    # A memory that is late costs energy: cells wait.
    assert found["asap7"].waiting > model.shipped(SMALL, M, N, K)["asap7"].waiting > 0
    assert model.shipped(PRESETS["small_ws"], M, N, K) == {}  # int8: there are no figures of its units


def test_every_result_moves_down_and_out():
    # 8 rows of 12 results: each of the four rows of a tile makes 1 to 4 moves.
    assert estimate(cell_q16=unit(0.0, 1.0, 3.0)).drain == 2 * (8 // 4) * 12 * (1 + 2 + 3 + 4)


def test_leakage_is_power_times_time(count):
    # 16 cells of 1 nW for 1 ns are 16 aJ.
    assert float(estimate(cell_q16=unit(0, leakage=1.0)).leakage) == pytest.approx(count.cycles * 16e-6)


def test_dram_moves_operands_once_per_job_and_results():
    found = estimate()
    bits = (M + N) * (K // 8) * 34 + M * N * 32
    assert float(found.dram) == pytest.approx(bits * memories()["hbm2"]["value"])
    assert float(found.total) == pytest.approx(float(found.dram + found.sram))
    low, high = found.band()
    assert low < found.total < high


def test_many_products_at_once():
    sizes = np.array([4, 8, 32])
    units = table(cell_q16=unit(2.0, 0.5, 1.0), hop_q16=unit(0.1), decoder_q16=unit(1.0, 0.25))
    for design in (SMALL, PRESETS["small_ws"]):
        design = replace(design, activations=("packed",))
        together = model.estimate(design, units, sizes, N, K)
        for i, m in enumerate(sizes):
            assert float(model.estimate(design, units, int(m), N, K).total) == pytest.approx(together.total[i])


def test_what_has_no_figures_is_refused():
    with pytest.raises(GossetError, match="has no unit cell_q8"):
        model.estimate(SMALL.with_format(Format(8)), table(), M, N, K)
    with pytest.raises(GossetError, match="β 3, 4, 5, 7 only"):
        model.estimate(SMALL.with_format(Format(16, (4,))), table(), M, N, K)
    with pytest.raises(GossetError, match="hbm2, lpddr4, gddr5, ddr, not 'sram_read'"):
        model.estimate(SMALL, table(), M, N, K, dram="sram_read")
    with pytest.raises(GossetError, match="nowhere is no file either"):
        load("nowhere")


def test_an_array_from_its_parts():
    build = compose.Build("cell_q16", 4.25, compose.mxfp4, ("decoder_q16", "norm_q16"), waiting=100)
    units = table(
        cell_q16=unit(8.0, area=100.0),
        decoder_q16=unit(4.0, area=50.0),
        norm_q16=unit(4.0, area=30.0),
        hop_q16=unit(5.0, area=10.0, flops=50),
    )
    # 64 cells, 16 edges, and 8·7/2 registers for the 2·50 bits of a row and a column.
    area, energy = compose.cost(build, units, 8)
    assert area == pytest.approx((64 * 100 + 16 * 80 + 28 * 100 * 10 / 50) / 64)
    assert energy == pytest.approx((64 * 8 + 16 * 8 + 28 * 100 * 5 / 50) / 64 / 8)
    # Weights alone have no decoders at the rows.
    area, _ = compose.cost(replace(build, int8=True), units, 8)
    assert area == pytest.approx((64 * 100 + 8 * 80 + 28 * 100 * 10 / 50) / 64)
    assert compose.cost(replace(build, int8=True, passes=2), units, 8)[0] == pytest.approx(2 * area)
    assert compose.cost(replace(build, cell="other"), units, 8) is None


def row(name, family, bits, sqnr, energy):
    made = {"format": name, "family": family, "weights": False, "bits": bits, "x_bits": bits, "sqnr_db": sqnr}
    return made | {f"{key}_{size}": energy for key in ("um2", "pj") for size in compose.SIZES}


ROWS = [
    row("ours", "E8", 4.25, 24.0, 0.12),
    row("low", "int-g64", 4.0, 20.0, 0.08),
    row("low, hotter", "int-g64", 4.0, 20.0, 0.3),
    row("high", "int-g64", 5.0, 26.0, 0.11),
]


def test_a_format_of_the_same_quality_lies_between_two():
    assert [r["format"] for r in compose.dressed(ROWS)] == ["ours", "low", "high"]
    found = compose.between(ROWS, "int-g64", 24.0)
    assert (found["bits"], found["pj_32"]) == (pytest.approx(4 + 2 / 3), pytest.approx(0.10))
    assert compose.between(ROWS, "int-g64", 19.0) is None


def test_energy_with_memory():
    # A weight is written once and read once for 32 rows, an activation once for 32 columns.
    read, write = (memories()[name]["value"] for name in ("sram_read", "sram_write"))
    assert compose.with_memory(1.0, 4.0, 8.0, 5.0, 1) == pytest.approx(1 + 4 * (5 + write + read) + 8 * read / 32)
    wanted = 1 + 4 * ((5 + write) / 64 + read / 32) + 8 * read / 32
    assert compose.with_memory(1.0, 4.0, 8.0, 5.0, 64) == pytest.approx(wanted)


@pytest.mark.parametrize("more", [0.02, 0.2, 3.0])
def test_where_integers_break_even(more):
    ours, theirs = row("ours", "E8", 4.25, 24.0, 0.1 + more), row("theirs", "int-g64", 4.75, 24.0, 0.1)
    reuse = compose.break_even(ours, theirs, 4.0)
    at = [compose.with_memory(r["pj_32"], r["bits"], r["x_bits"], 4.0, max(reuse, 1.0)) for r in (ours, theirs)]
    assert at[0] == pytest.approx(at[1]) if reuse else at[0] > at[1]
    assert (reuse > 32, reuse == 0) == (more < 0.1, more > 1)
    assert compose.break_even(ours | {"pj_32": 0.05}, theirs, 4.0) == float("inf")


@pytest.mark.parametrize("build", compose.builds().values(), ids=compose.builds())
def test_what_is_compared_is_there(build):
    from sim.silicon import around, rivals
    from sim.silicon.units import units

    every = units() | around.units() | rivals.units()
    assert {build.cell, compose.HOP, *build.edge, *build.column} <= every.keys()
