"""Verilog of every kind through three readers: Verilator's lint, and yosys and Icarus where there are any."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from fpga.flow.synthesis import tool
from golden import process
from golden.errors import ToolError
from golden.format import Format
from golden.frontend import FrontEndRules
from hw.design import MAX_DSP_Q, PRESETS, DesignPoint
from hw.generate import AXI_TOPS, generate_axi, generate_design
from sim.rtl import verilator

FRONT_END = DesignPoint(name="raw", rows=2, cols=1, front_end=FrontEndRules(scale="rms", length=64))
MULTIPLIERS = DesignPoint(name="dsp", rows=2, cols=3, activations=("packed", "int8"), dsp_cols=2)
LEAN = replace(PRESETS["silicon"], name="lean", rows=2, cols=1)
DESIGNS = PRESETS | {"raw": FRONT_END, "dsp": MULTIPLIERS, "lean": LEAN}

LARGE = ("medium", "silicon")
"""Like others, but for their size."""


def random_design(seed):
    """Any legal design point; small edges more often than large ones."""
    rng = np.random.default_rng(seed)

    def power(low, high):
        return 1 << int(rng.integers(low, high + 1))

    rows, cols = (int(2 ** rng.uniform(0, 3.3)) for _ in range(2))
    dataflow = str(rng.choice(["os", "ws"]))
    betas = tuple(sorted(int(b) for b in rng.choice(np.arange(1, 16), int(rng.integers(1, 9)), replace=False)))
    format = Format(power(1, 5), betas)
    return DesignPoint(
        name=f"random_{seed}",
        rows=rows,
        cols=cols,
        format=format,
        dataflow=dataflow,
        activations=[("packed",), ("int8",), ("packed", "int8")][int(rng.integers(3))],
        dsp_cols=int(rng.integers(cols + 1)) if format.q <= MAX_DSP_Q else 0,
        panel_rows=rows * int(rng.integers(1, 9)),
        x_depth=power(2, 12),
        w_depth=power(2, 12) if dataflow == "os" else 0,
        jobs=int(rng.integers(2, 17)),
        bus_bits=power(5, 9),
    )


def generated(name, kind):
    design = random_design(int(name)) if name.isdigit() else DESIGNS[name]
    return generate_design(design) if kind == "plain" else generate_axi(design, kind)


def found(name):
    """The command of a tool, if there is one."""
    try:
        return tool(name)
    except ToolError:
        return None


def check(path, top):
    """What each reader says; an empty text is approval."""
    verilator.lint(path, top)
    read(path.parent, [top], [path.name])


def read(folder, tops, names):
    """What yosys and Icarus say of files that are one project."""
    commands = []
    if yosys := found("yosys"):
        top = f"-top {tops[0]}" if len(tops) == 1 else ""
        script = f"read_verilog {' '.join(names)}; hierarchy -check {top}; proc; opt_clean; check -assert"
        commands.append([*yosys, "-q", "-p", script])
    if shutil.which("iverilog"):
        flags = [flag for top in tops for flag in ("-s", top)]
        commands.append(["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-t", "null", *flags, *names])
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr


@pytest.mark.parametrize("name", [name for name in DESIGNS if name not in LARGE])
def test_every_preset_is_accepted(name, tmp_path):
    source = generated(name, "plain")
    check(source.write(tmp_path), source.description["top"])


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny", "axis"), ("small", "axi"), ("small_ws", "axis"), ("small_ws", "axi")]
)
def test_presets_for_a_system_are_accepted(name, kind, tmp_path):
    source = generated(name, kind)
    check(source.write(tmp_path), source.description["top"])


@pytest.mark.parametrize("rows", [1, 3])
def test_designs_of_one_row_tile_are_accepted(rows, tmp_path):
    design = DesignPoint(name="one", rows=rows, cols=1, panel_rows=rows, x_depth=16, w_depth=16, format=Format(2, (1,)))
    verilator.lint(generate_design(design).write(tmp_path), design.module)


@pytest.mark.parametrize("seed", range(3))
def test_random_design_points_are_accepted(seed, tmp_path):
    source = generated(str(seed), ["plain", *AXI_TOPS][seed % 3])
    check(source.write(tmp_path), source.description["top"])


def little(name, **fields):
    """A small design, with a front end if `front_end` has rules for it."""
    format = Format(4, (1,))
    rules = fields.pop("front_end", None)
    front_end = FrontEndRules(format=format, length=8, **rules) if rules else None
    return DesignPoint(name=name, rows=1, cols=1, format=format, front_end=front_end, **fields)


PROJECTS = {
    "two presets": [(PRESETS["tiny"], "plain"), (PRESETS["small_ws"], "plain")],
    "all tops of a design": [(little("one"), kind) for kind in ("plain", *AXI_TOPS)],
    "two q": [(little("one").with_format(Format(q, (1,))), "plain") for q in (4, 8)],
    "front ends that differ in what they measure": [
        (little("host", front_end={"scale": "host"}), "plain"),
        (little("rms", front_end={"scale": "rms"}), "plain"),
        (little("short", front_end={"scale": "rms", "row_blocks": 128}), "plain"),
    ],
    "a name like a unit's": [
        (little("decoder_q4_beta1"), "plain"),
        (little("one"), "plain"),
    ],
    "multipliers": [(little(name, dsp_cols=1), "plain") for name in ("one", "two")],
}


@pytest.mark.parametrize("project", PROJECTS)
def test_designs_fit_in_one_project(project, tmp_path):
    """No module twice; each reader takes all files at once, with a module over all of the tops."""
    sources = [generate_design(d) if kind == "plain" else generate_axi(d, kind) for d, kind in PROJECTS[project]]
    tops = [source.description["top"] for source in sources]
    modules = [
        name for source in sources for name in re.findall(r"^module (\\?\S+?)[ (]", source.verilog, re.MULTILINE)
    ]
    assert len(set(modules)) == len(modules) and set(tops) < set(modules)
    names = [source.write(tmp_path).name for source in sources]
    read(tmp_path, tops, names)
    instances = "".join(f"  {top} design_{i} ();\n" for i, top in enumerate(tops))
    (tmp_path / "all.v").write_text(f"module all;\n{instances}endmodule\n")
    command = [str(verilator.find().executable), "--lint-only", "-Wno-lint", "--top-module", "all", *names, "all.v"]
    environment = process.environment() | verilator.find().variables()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FAULTS = {
    "latch": ("reg held;\n  always @* if (clk) held = rst;", "verilator"),
    "two drivers": ("assign acc_valid = rst;", "yosys"),
    "unknown name": ("assign nowhere = nothing;", "iverilog"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path):
    """Each reader finds what another would let pass."""
    text, reader = FAULTS[fault]
    if (reader == "yosys" and not found("yosys")) or (reader == "iverilog" and not shutil.which("iverilog")):
        pytest.skip(f"There is no {reader} on this machine.")
    source = generated("tiny", "plain")
    path, top = source.write(tmp_path), source.description["top"]
    start = path.read_text().index(f"module {top}(")
    before, after = path.read_text()[:start], path.read_text()[start:]
    path.write_text(before + after.replace("endmodule", f"  {text}\nendmodule", 1))
    with pytest.raises((AssertionError, ToolError)):
        check(path, top)
