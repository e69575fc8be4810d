import json
import re
from dataclasses import replace

import pytest

import hw.units
from golden.errors import GossetError
from golden.format import Format
from golden.output import OutputRules
from hw.array.cell import Cell
from hw.array.operands import operands
from hw.axi.memory import AxiMemoryTop
from hw.codec.decoder import Decoder
from hw.design import PRESETS, DesignPoint
from hw.generate import generate, generate_axi, generate_design


def test_the_same_design_gives_the_same_verilog(monkeypatch):
    """By itself, after others that have units of the same names, and when it is kept."""
    design = DesignPoint(name="twice", rows=2, cols=3)
    others = [
        DesignPoint(name="other", rows=2, cols=3, dataflow="ws"),
        replace(design, name="ints", activations=("int8",)),
    ]
    for other in (*others, design.with_format(Format(4, (1, 3)))):
        generate_design(other)
    kept = generate_design(design)
    assert generate_design(design) is kept
    monkeypatch.setattr(hw.units, "_kept", {})
    assert generate_design.__wrapped__(design) == kept


def test_ports_are_flat_and_readable():
    generated = generate_design(PRESETS["tiny"])
    ports = {port["name"]: (port["direction"], port["width"]) for port in generated.description["ports"]}
    assert ports["x_labels"] == ("in", 32) and ports["x_betas"] == ("in", 2) and ports["acc_values"] == ("out", 32)
    header = re.search(r"module gosset_tiny\(([^)]*)\)", generated.verilog).group(1)
    assert {name.strip() for name in header.split(",")} == set(ports)
    for name, (direction, width) in ports.items():
        span = rf"\[{width - 1}:0\] " if width > 1 else ""
        assert re.search(rf"^  {direction}put {span}{name};", generated.verilog, re.MULTILINE)


def test_one_beta_has_no_index():
    generated = generate_design(DesignPoint(name="one", rows=1, cols=1, format=Format(4, (1,))))
    assert not any("beta" in port["name"] for port in generated.description["ports"])


def test_memories_of_zeros_are_not_spelt_out():
    """Whatever the width of their words."""
    for rows in (3, 4):
        text = generate_design(DesignPoint(name="words", rows=rows, cols=1, format=Format(2, (1,)))).verilog
        assert f"  reg [{8 * rows - 1}:0] memory_x [" in text
        assert not re.search(r"\w\[\d+\] = \d+'[hd]0+;", text)


def test_units_are_written_once():
    small = generate_design(PRESETS["small"]).verilog
    assert len(re.findall(r"^module gosset_small__cell_", small, re.MULTILINE)) == 1
    assert len(re.findall(r"^  gosset_small__cell_", small, re.MULTILINE)) == 16


def test_there_are_no_latches_and_one_clock():
    cell = generate(Cell(*operands(PRESETS["small_ws"])), "cell")
    for generated in (generate_design(PRESETS["tiny"]), generate_design(PRESETS["small_ws"]), cell):
        edges = set(re.findall(r"@\((.*?)\)", generated.verilog)) - {"*"}
        assert edges == {"posedge clk"}


@pytest.mark.parametrize("name", ["small", "small_ws"])
def test_registers_have_names(name):
    assert "$signal" not in generate_design(PRESETS[name]).verilog


def test_files_are_written_only_when_they_change(tmp_path):
    generated = generate(Decoder(Format(4)), "decoder")
    path = generated.write(tmp_path)
    before = path.stat().st_mtime_ns, path.with_suffix(".json").stat().st_mtime_ns
    generated.write(tmp_path)
    assert (path.stat().st_mtime_ns, path.with_suffix(".json").stat().st_mtime_ns) == before
    assert json.loads(path.with_suffix(".json").read_text()) == generated.description
    assert sorted(child.name for child in tmp_path.iterdir()) == ["decoder.json", "decoder.v"]


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GossetError, match="Cannot write"):
        generate(Decoder(Format(2)), "decoder").write(tmp_path / "file" / "below")


def test_an_output_stage_wants_the_memory_port():
    design = DesignPoint(name="finishing", rows=1, cols=1, output=OutputRules())
    for make in (generate_design, lambda design: generate_axi(design, "axis")):
        with pytest.raises(GossetError, match="give bus axi"):
            make(design)
    assert {"output", "job_c_low", "job_c_high"} <= AxiMemoryTop.registers(design).by_name.keys()
