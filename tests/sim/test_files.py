"""Every file that `gosset generate` writes, for every kind of design, used as it is meant to be."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from golden.format import Format
from golden.frontend import FrontEndRules
from hw.design import DesignPoint
from hw.generate import generate_axi
from hw.registers import RegisterMap
from sim.benches.catalogue import with_example
from sim.rtl import verilator


def design_of(name, dataflow, activations=("packed",), q=4, betas=(3, 4), scale=None, **changes):
    format = Format(q, betas)
    rules = scale and FrontEndRules(format=format, length=8, raw_bits=8, scale=scale, row_blocks=4)
    fields = {"rows": 2, "cols": 3, "panel_rows": 8, "x_depth": 32, "front_end": rules} | changes
    return DesignPoint(name=name, dataflow=dataflow, activations=activations, format=format, **fields)


DESIGNS = [
    ("axi", design_of("packed_os", "os", bus_bits=32)),
    ("axi", design_of("int8_os", "os", ("int8",), w_depth=32)),
    ("axi", design_of("int8_ws", "ws", ("int8",), q=2, betas=(3,), bus_bits=128)),
    ("axi", design_of("both_ws", "ws", ("packed", "int8"), dsp_cols=1)),
    ("axis", design_of("int8_stream", "os", ("int8",))),
    ("axis", design_of("raw_host", "ws", ("packed", "int8"), scale="host", q=2, betas=(1,))),
    ("axis", design_of("raw_rms", "os", scale="rms", q=2, betas=(1,))),
]
IDS = [f"{kind}-{design.name}" for kind, design in DESIGNS]


@pytest.fixture(scope="module", params=DESIGNS, ids=IDS)
def written(request, tmp_path_factory):
    """Where the files of a design are, and its top module."""
    kind, design = request.param
    generated = generate_axi(design, kind)
    if kind == "axi":
        generated = with_example(generated)
    path = generated.write(tmp_path_factory.mktemp(design.name))
    names = {f"{path.stem}{end}" for end in (".v", ".json", ".h", ".core", ".sdc", "_registers.json", "_registers.md")}
    names |= {f"{path.stem}_layer.py", f"{path.stem}_driver.h"} if kind == "axi" else set()
    assert {file.name for file in path.parent.iterdir()} == names
    return path, design, kind


def test_the_verilog_is_what_the_description_says(written):
    path, design, kind = written
    described = json.loads(path.with_suffix(".json").read_text())
    assert described["top"] == path.stem and described["kind"] == kind
    assert DesignPoint.from_dict(described["design"]) == design
    text = path.read_text()
    for port in described["ports"]:
        span = rf"\[{port['width'] - 1}:0\] " if port["width"] > 1 else ""
        assert re.search(rf"^  {port['direction']}put {span}{port['name']};", text, re.MULTILINE), port
    verilator.lint(path, path.stem)


def test_the_register_map_is_the_same_for_people_programs_and_compilers(written):
    path, design, _ = written
    content = json.loads(path.with_name(f"{path.stem}_registers.json").read_text())
    registers = RegisterMap.from_dict(content["name"], content["registers"])
    assert json.loads(path.with_suffix(".json").read_text())["registers"] == content["registers"]
    offsets = [register.offset for register in registers.registers]
    assert offsets == sorted(offsets) and ("front_end_seed" in registers.by_name) == (design.front_end is not None)
    table = path.with_name(f"{path.stem}_registers.md").read_text()
    assert [int(offset, 16) for offset in re.findall(r"^\| (0x\w+) \|", table, re.MULTILINE)] == offsets
    macros = re.findall(r"^#define (\w+) (0x\w+|\d+)u$", path.with_suffix(".h").read_text(), re.MULTILINE)
    prefix = path.stem.upper()
    plain = [int(value, 16) for name, value in macros if name.removeprefix(f"{prefix}_").lower() in registers.by_name]
    assert plain == offsets

    shown = "\n".join(f'printf("%lu\\n", (unsigned long){name});' for name, _ in macros)
    include = f'#include "{path.stem}.h"\n'
    path.with_name("main.c").write_text(f"{include * 2}#include <stdio.h>\nint main(void) {{ {shown} return 0; }}\n")
    compiler = shutil.which("cc") or shutil.which("gcc") or "clang"
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "-o", "main"]
    subprocess.run(command, cwd=path.parent, check=True)
    done = subprocess.run([path.with_name("main")], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(int(value, 0)) for _, value in macros]


def test_the_core_file_names_what_is_there(written):
    path, _, _ = written
    head, text = path.with_suffix(".core").read_text().split("\n", 1)
    core = yaml.safe_load(text)
    assert head == "CAPI=2:" and re.fullmatch(rf"gosset:accelerator:{path.stem}:[\w.]+", core["name"])
    assert set(core["targets"]) == {"default", "synthesis", "lint"}
    for target in core["targets"].values():
        assert target["toplevel"] == path.stem
        for fileset in target["filesets"]:
            assert all(path.with_name(file).exists() for file in core["filesets"][fileset]["files"])


def test_the_constraints_are_of_ports_that_are_there(written):
    """The clock's, and every other one's once, in its direction."""
    path, _, _ = written
    lines = [line for line in path.with_suffix(".sdc").read_text().splitlines() if not line.startswith("#")]
    clock = re.fullmatch(r"create_clock -name aclk -period ([\d.]+) \[get_ports (\w+)\]", lines[0])
    described = json.loads(path.with_suffix(".json").read_text())
    assert clock[2] == described["clock"]
    for direction, line in zip(("in", "out"), lines[1:], strict=True):
        delay = re.fullmatch(rf"set_{direction}put_delay ([\d.]+) -clock aclk \[get_ports {{(.*)}}\]", line)
        assert 0 < float(delay[1]) < float(clock[1])
        own = (port for port in described["ports"] if port["direction"] == direction and port["name"] != clock[2])
        names = [port["name"] + "[*]" * (port["width"] > 1) for port in own]
        assert delay[2].split(" ") == names


def test_the_example_runs(written):
    path, design, kind = written
    if kind == "axis":
        pytest.skip("Of the stream kind there is no example.")
    script = path.with_name(f"{path.stem}_layer.py")
    done = subprocess.run([sys.executable, script], cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and f"on {design.name}" in lines[0] and "equal to golden" in lines[0] and "busy" in lines[1]
