"""How hardware starts, in four-valued logic: after a reset no output is undefined, whatever the registers held."""

import os
import re
import shutil

import pytest

from golden import process
from hw.design import DesignPoint
from hw.generate import generate_axi, generate_design

pytestmark = pytest.mark.skipif(
    not (shutil.which("iverilog") and shutil.which("vvp")), reason="needs Icarus Verilog: iverilog and vvp on PATH"
)

LARGE = pytest.mark.skipif("GOSSET_LARGE" not in os.environ, reason="make large runs it: half a minute")

IDLE, BUSY = 10, 200
"""Cycles after the reset in which nothing comes, and in which all inputs are random."""

TOPS = {"stream": generate_design} | {
    kind: lambda point, kind=kind: generate_axi(point, kind) for kind in ("axis", "axi")
}


def without_first_values(verilog):
    """The Verilog of which no register has a value before it is reset."""
    text, count = re.subn(r"^(  (?:output )?reg [^=\n]*[^=\s]) += \d+'[hd]\w+;$", r"\1 ;", verilog, flags=re.MULTILINE)
    assert count > 20 and not re.search(r"^  reg [^(\n]* = ", text, re.MULTILINE)
    return text


def bench_of(description):
    """A module that resets the top, leaves it idle, gives it random inputs, and says which output is undefined; the
    payload of a stream only while it is valid. The reset is as short as it may be: two cycles of `aresetn`."""
    clock, reset = description["clock"], description["reset"]
    ports = [port for port in description["ports"] if port["name"] != clock]
    inputs = [port for port in ports if port["direction"] == "in" and port["name"] != reset]
    outputs = [port for port in ports if port["direction"] == "out"]
    valid = [port["name"] for port in outputs if port["name"].endswith("valid")]
    lines = [
        "module bench;",
        f"  reg {clock} = 0, {reset} = {int(not reset.endswith('n'))};",
        "  integer i, cycle = 0;",
    ]
    lines += [f"  reg [{port['width'] - 1}:0] {port['name']} = 0;" for port in inputs]
    lines += [f"  wire [{port['width'] - 1}:0] {port['name']};" for port in outputs]
    lines += [
        f"  {description['top']} top({', '.join(f'.{name}({name})' for name in [clock, *(p['name'] for p in ports)])});"
    ]
    held = f"#1 {clock} = 1; #1 {clock} = 0;"
    lines += [
        f"  initial begin {' '.join([held] * (2 if reset == 'aresetn' else 1))} {reset} = {int(reset.endswith('n'))};"
    ]
    lines += [f"    for (cycle = 0; cycle < {IDLE + BUSY}; cycle = cycle + 1) begin", "      #1;"]
    for port in outputs:
        streams = [
            name for name in valid if port["name"].startswith(name.removesuffix("valid")) and port["name"] != name
        ]
        when = f"{max(streams, key=len)} !== 1'b0 && " if streams and not port["name"].endswith("ready") else ""
        lines.append(f'      if ({when}^{port["name"]} === 1\'bx) $display("{port["name"]} in cycle %0d", cycle);')
    lines += [f"      {clock} = 1; #1;", f"      if (cycle >= {IDLE}) begin"]
    for port in inputs:
        words = ", ".join(["$random"] * -(-port["width"] // 32))
        lines.append(f"        {port['name']} = {{ {words} }};")
    return "\n".join([*lines, f"      end {clock} = 0;", "    end", '    $display("done");', "  end", "endmodule", ""])


def undefined(generated, verilog, folder):
    """The outputs that are undefined after a reset, each with a cycle."""
    (folder / "bench.v").write_text(bench_of(generated.description), encoding="utf-8")
    (folder / "top.v").write_text(verilog, encoding="utf-8")
    process.call(["iverilog", "-g2005", "-o", "bench.vvp", "-s", "bench", "bench.v", "top.v"], folder=folder)
    said = process.call(["vvp", "-n", "bench.vvp"], folder=folder).splitlines()
    assert said[-1] == "done"
    return said[:-1]


@pytest.mark.parametrize("design", ["tiny", pytest.param("small", marks=LARGE)])
@pytest.mark.parametrize("top", TOPS)
def test_after_a_reset_no_output_is_undefined(top, design, tmp_path):
    generated = TOPS[top](DesignPoint.load(design))
    assert undefined(generated, without_first_values(generated.verilog), tmp_path) == []


def test_a_register_that_is_not_reset_is_found(tmp_path):
    generated = generate_design(DesignPoint.load("tiny"))
    text, count = re.subn(r"= rst \? 1'h0 : (\S+);", r"= \1;", without_first_values(generated.verilog))
    assert count
    assert undefined(generated, text, tmp_path)
