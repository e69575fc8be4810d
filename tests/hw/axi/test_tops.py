import json
import re
from functools import cache

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.errors import GossetError
from golden.format import Format
from hw.axi.gearbox import Gearbox
from hw.design import DesignPoint
from hw.generate import Generated, generate_axi
from sim.rtl.verilator import lint

DESIGNS = {
    "uneven": DesignPoint(
        name="uneven", rows=3, cols=2, panel_rows=6, x_depth=32, w_depth=16, format=Format(8), keep_rows=16
    ),
    "one": DesignPoint(
        name="one",
        rows=1,
        cols=1,
        panel_rows=4,
        x_depth=32,
        format=Format(2, (3,)),
        bus_bits=256,
        burst=64,
        prefetch=128,
        axcache=15,
        axprot=3,
    ),
}


@cache
def generated(name: str, kind: str) -> Generated:
    return generate_axi(DESIGNS[name], kind)  # type: ignore[arg-type]


def ports(name: str, kind: str) -> dict[str, tuple[str, int]]:
    listed = generated(name, kind).description["ports"]
    return {port["name"]: (port["direction"], port["width"]) for port in listed}


@pytest.mark.parametrize(
    ("i_bits", "o_bits"), [(64, 96), (96, 64), (64, 8), (32, 2), (64, 9), (512, 40), (64, 64), (32, 128)]
)
def test_gearbox_keeps_bits_in_order_and_drops_padding(i_bits: int, o_bits: int) -> None:
    """Packets of beats in, each with as many words as it holds; ends and padding in between."""
    gearbox, rng = Gearbox(i_bits, o_bits), np.random.default_rng(i_bits + o_bits)
    packets = []
    for _ in range(12):
        words = [
            int.from_bytes(rng.bytes(o_bits // 8 + 1), "little") % (1 << o_bits) for _ in range(rng.integers(1, 9))
        ]
        stream = sum(word << i * o_bits for i, word in enumerate(words))
        beats = -(-len(words) * o_bits // i_bits)
        packets.append((words, [stream >> i * i_bits & ((1 << i_bits) - 1) for i in range(beats)]))
    found: list[int] = []

    async def put(ctx):
        for _, beats in packets:
            for beat in beats:
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(gearbox.i.payload.data, beat)
                ctx.set(gearbox.i.valid, 1)
                await ctx.tick().until(gearbox.i.ready)
                ctx.set(gearbox.i.valid, 0)

    async def get(ctx):
        for words, _ in packets:
            for i in range(len(words)):
                ctx.set(gearbox.drop, i == len(words) - 1)
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(gearbox.o.ready, 1)
                (word,) = await ctx.tick().sample(gearbox.o.payload.data).until(gearbox.o.valid)
                ctx.set(gearbox.o.ready, 0)
                found.append(word)

    simulator = Simulator(gearbox)
    simulator.add_clock(1e-6)
    simulator.add_testbench(put)
    simulator.add_testbench(get)
    simulator.run()
    assert found == [word for words, _ in packets for word in words]


@pytest.mark.parametrize(("i_bits", "o_bits"), [(64, 96), (96, 64), (64, 64), (32, 512), (512, 32)])
def test_gearbox_runs_at_the_full_rate_of_the_wider_side(i_bits: int, o_bits: int) -> None:
    gearbox = Gearbox(i_bits, o_bits)
    count = {"i": 0, "o": 0}
    cycles = 480

    async def bench(ctx):
        ctx.set(gearbox.i.valid, 1)
        ctx.set(gearbox.o.ready, 1)
        for _ in range(cycles):
            _, _, taken, given = await ctx.tick().sample(gearbox.i.ready, gearbox.o.valid)
            count["i"] += taken
            count["o"] += given

    simulator = Simulator(gearbox)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    side = "i" if i_bits >= o_bits else "o"
    narrow = "o" if side == "i" else "i"
    assert count[narrow] >= cycles - 1


def test_gearbox_marks_what_the_last_word_holds() -> None:
    gearbox = Gearbox(96, 64)
    found = []

    async def bench(ctx):
        ctx.set(gearbox.i.valid, 1)
        ctx.set(gearbox.i.payload.last, 1)
        ctx.set(gearbox.i.payload.data, 0xA_00000002_00000001)
        ctx.set(gearbox.o.ready, 1)
        await ctx.tick().until(gearbox.i.ready)
        ctx.set(gearbox.i.valid, 0)
        for _ in range(5):
            word = gearbox.o.payload
            _, _, valid, data, units, last = await ctx.tick().sample(gearbox.o.valid, word.data, word.units, word.last)
            if valid:
                found.append((data & 0xFFFFFFFF, units, last))

    simulator = Simulator(gearbox)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [(1, 0b11, 0), (0xA, 0b01, 1)]


@pytest.mark.parametrize(("name", "kind"), [("uneven", "axi"), ("uneven", "axis"), ("one", "axi")])
def test_lint_is_clean(name: str, kind: str, tmp_path) -> None:
    top = generated(name, kind)
    lint(top.write(tmp_path), top.description["top"])
    edges = set(re.findall(r"@\((.*?)\)", top.verilog)) - {"*"}
    assert edges == {"posedge aclk", "posedge clk"}
    # Registers have names.
    assert "$signal" not in top.verilog


def test_ports_have_the_names_and_widths_of_axi() -> None:
    memory, streams = ports("uneven", "axi"), ports("uneven", "axis")
    for both in (memory, streams):
        assert both["aclk"] == both["aresetn"] == ("in", 1) and both["irq"] == ("out", 1)
        assert both["s_axi_ctrl_awaddr"] == ("in", 12) and both["s_axi_ctrl_rdata"] == ("out", 32)
    assert memory["m_axi_mem_araddr"] == ("out", 64) and memory["m_axi_mem_rdata"] == ("in", 64)
    assert memory["m_axi_mem_wstrb"] == ("out", 8) and ports("one", "axi")["m_axi_mem_wstrb"] == ("out", 32)
    # 3 lanes of 24 + 2 bits are 78, and ten bytes.
    assert streams["s_axis_x_tdata"] == ("in", 80) and streams["m_axis_acc_tdata"] == ("out", 64)
    header = re.search(r"module gosset_uneven_axis\(([^)]*)\)", generated("uneven", "axis").verilog)
    assert header and {name.strip() for name in header[1].split(",")} == set(streams)


def test_transfers_have_the_attributes_of_the_design() -> None:
    for name, attributes, prot in (("one", "4'hf", "3'h3"), ("uneven", "4'h3", "3'h0")):
        text = generated(name, "axi").verilog
        for signal, value in (("cache", attributes), ("prot", prot)):
            assert all(re.search(rf"{channel}{signal}\S* = {value};", text) for channel in ("ar", "aw"))


def test_the_description_groups_the_ports() -> None:
    interfaces = {entry["name"]: entry for entry in generated("uneven", "axi").description["interfaces"]}
    assert interfaces["m_axi_mem"]["protocol"] == "AXI4" and interfaces["m_axi_mem"]["role"] == "manager"
    assert interfaces["s_axi_ctrl"]["protocol"] == "AXI4-Lite" and interfaces["s_axi_ctrl"]["role"] == "subordinate"
    belongs = 'ASSOCIATED_BUSIF s_axi_ctrl:m_axi_mem, ASSOCIATED_RESET aresetn" *)\n  input aclk;'
    assert belongs in generated("uneven", "axi").verilog
    listed = {port for entry in interfaces.values() for port in entry["ports"]}
    assert listed == set(ports("uneven", "axi")) - {"aclk", "aresetn", "irq"}


def test_everything_a_project_needs_is_written(tmp_path) -> None:
    path = generated("uneven", "axi").write(tmp_path)
    top = path.stem
    texts = ("_registers.json", "_registers.md", "_driver.h")
    beside = {f"{top}{end}" for end in (".v", ".json", ".h", ".core", ".sdc", *texts)}
    assert {child.name for child in tmp_path.iterdir()} == beside
    core = (tmp_path / f"{top}.core").read_text()
    assert core.startswith("CAPI=2:\n")
    assert all((tmp_path / name).exists() for name in re.findall(r"^ +- (\S+)$", core, re.MULTILINE))
    assert json.loads((tmp_path / f"{top}_registers.json").read_text())["name"] == top
    assert generate_axi(DESIGNS["uneven"], "axi") == generated("uneven", "axi")


def test_there_are_two_kinds() -> None:
    with pytest.raises(GossetError, match="is axis or axi, not 'ahb'"):
        generate_axi(DESIGNS["one"], "ahb")  # type: ignore[arg-type]
