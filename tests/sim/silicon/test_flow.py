import json
import shutil

import numpy as np
import pytest

from golden.errors import GossetError, ToolError
from sim.silicon import around, flow, gates
from sim.silicon.gates import simulate
from sim.silicon.liberty import Library
from sim.silicon.operands import workload
from sim.silicon.power import energy
from sim.silicon.synthesis import synthesise
from sim.silicon.timing import analyse
from sim.silicon.units import Unit, units
from tests.sim.silicon import tiny

pytestmark = pytest.mark.skipif(
    not shutil.which("iverilog"), reason="gate-level simulation needs Icarus Verilog on PATH"
)

INVERTER = "module inverter(input clk, input a, output o); assign o = ~a; endmodule"
REGISTER = "module register(input clk, input a, output reg o = 0); always @(posedge clk) o <= a; endmodule"
ADDER = "module adder(input clk, input [7:0] a, input [7:0] b, output [7:0] o); assign o = a + b; endmodule"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("liberty") / "tiny.lib"
    path.write_text(tiny.library())
    return path


@pytest.fixture(scope="module")
def library(path):
    return Library([path])


def run(verilog, library, folder, **stimulus):
    top = verilog.split("(")[0].split()[1]
    netlist = synthesise(verilog, top, library, folder)
    timing = analyse(netlist)
    return netlist, timing, simulate(netlist, timing, verilog, top, stimulus, folder)


def test_an_inverter_by_hand(library, tmp_path):
    netlist, timing, activity = run(INVERTER, library, tmp_path, a=np.arange(132) % 2)
    assert [gate.cell.name for gate in netlist.gates] == ["INV"]
    assert (netlist.area, netlist.nand2, netlist.leakage) == (1.0, 0.5, 4e-12)
    # The output drives four NAND inputs of 2 fF: 20 ps and 8 fF at 1 ps each.
    assert timing.critical == pytest.approx(28e-12)
    found = energy(netlist, timing, activity)
    assert activity.cycles == 100 and activity.rises.sum() == activity.falls.sum() == pytest.approx(1.0 + 1.0, abs=0.5)
    # A transition per cycle: half of C·V² on the input, and on average (3 + 2) / 2 fJ in the gate.
    assert found.load == pytest.approx(0.5 * 2e-15 * 2.0**2)
    assert found.internal == pytest.approx(2.5e-15)


def test_a_flip_flop_by_hand(library, tmp_path):
    netlist, timing, activity = run(REGISTER, library, tmp_path, a=np.arange(132) % 2)
    assert [gate.cell.name for gate in netlist.gates] == ["DFF"]
    found = energy(netlist, timing, activity)
    # It changes in every cycle: 5 fJ each time, and its clock costs no more than its load.
    assert found.internal == pytest.approx(5e-15)
    assert found.clock == pytest.approx(1e-15 * 2.0**2)
    _, _, resting = run(REGISTER, library, tmp_path, a=np.zeros(132, dtype=int))
    found = energy(netlist, timing, resting)
    assert (found.internal, found.load) == (0, 0)
    assert found.clock == pytest.approx(1e-15 * 2.0**2 + tiny.FLOP_ENERGY * 1e-15)


def test_glitches_count_and_settle_to_the_same(library, tmp_path):
    rng = np.random.default_rng(0)
    stimulus = {name: rng.integers(0, 256, 332) for name in "ab"}
    netlist, _, activity = run(ADDER, library, tmp_path, **stimulus)
    still = simulate(netlist, None, ADDER, "adder", stimulus, tmp_path)
    assert (still.settled == activity.settled).all()
    assert (still.rises <= activity.rises + 1 / still.cycles).all()
    assert activity.rises.sum() > 1.05 * still.rises.sum()
    # Without delays a net changes once in a cycle at most.
    assert np.delete(still.rises, netlist.inputs["clk"]).max() <= 0.6


def test_a_netlist_that_computes_something_else_is_no_energy(library, tmp_path):
    netlist = synthesise(ADDER, "adder", library, tmp_path)
    other = ADDER.replace("a + b", "a + b + 1")
    with pytest.raises(ToolError, match="netlist of adder does not compute what its Verilog does: output o differs"):
        simulate(netlist, analyse(netlist), other, "adder", {"a": np.arange(100), "b": np.arange(100)}, tmp_path)


def test_a_netlist_that_has_not_settled_is_no_energy(library, tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "SLACK", 0.3)
    with pytest.raises(ToolError, match="does not compute"):
        run(ADDER, library, tmp_path, a=np.arange(200) * 37, b=np.arange(200) * 91)


def test_other_flip_flops_are_refused(library, tmp_path):
    verilog = REGISTER.replace("posedge", "negedge")
    with pytest.raises(ToolError, match="not clocked by the rising edge"):
        run(verilog, library, tmp_path, a=np.arange(100) % 2)


def test_a_table_is_kept_and_a_changed_unit_measured_anew(path, tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(flow, "workload", lambda cycles, **_: workload(96))
    before = flow.measure_unit
    monkeypatch.setattr(flow, "measure_unit", lambda unit, *rest: measured.append(unit.name) or before(unit, *rest))

    def ramp(work):
        return {"a": np.arange(work.blocks), "b": np.arange(work.blocks) * 5}

    def every(text):
        inverter = Unit("inverter", lambda: INVERTER)
        return {"adder": Unit("adder", lambda: text, {"compute": ramp}, 1), "inverter": inverter}

    table = flow.measure([path], tmp_path, every=every(ADDER))
    assert measured == ["adder", "inverter"]
    assert json.loads((tmp_path / "table.json").read_text()) == table
    row, about = table["units"]["adder"], table["about"]
    assert row["events"]["compute"]["total"] > row["events"]["compute"]["zero_delay"] > 0
    assert (about["library"], about["voltage_v"], about["nand2"]) == ("tiny", 2.0, "NAND2") and "abc" in about["script"]
    flow.measure([path], tmp_path, every=every(ADDER))
    assert measured == ["adder", "inverter"]
    flow.measure([path], tmp_path, every=every(ADDER.replace("+", "-")))
    assert measured == ["adder", "inverter", "adder"]
    with pytest.raises(GossetError, match="No unit is called 'adde'; there are adder, inverter"):
        flow.measure([path], tmp_path, names=["adde"], every=every(ADDER))


@pytest.mark.parametrize(
    "name", ["decoder_q4", "norm_q4", "cell_q4", "stationary_cell_q4", "multiplier_cell_q4", "sequencer"]
)
def test_the_units_compute_what_their_verilog_does(library, tmp_path, name):
    unit = (units() | around.units())[name]
    row = flow.measure_unit(unit, library, workload(120), tmp_path, workload(96))
    busy, idle = row["events"]["compute"], row["events"]["idle"]
    assert busy["total"] > busy["zero_delay"] * 0.99 and busy["total"] > idle["total"] > 0
    assert row["flop_area_um2"] == 10 * row["flops"] < row["area_um2"]
