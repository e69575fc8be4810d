"""The multipliers of an FPGA with their own registers, for `hw.array.pairs.Multiplier`.

Yosys makes a product of ECP5's multipliers, but leaves the registers in front of it and behind in the fabric: 44
flip-flops more in a cell, and a third less of its frequency. For iCE40 it takes in those in front.
"""

import re

BITS = 18
"""Bits of an operand of MULT18X18D."""


def with_ecp5_multipliers(verilog: str) -> str:
    """The Verilog of a design with a MULT18X18D in each multiplier, registers included."""
    module = r"^module (\w+__multiplier_(\d+)_by_(\d+))\(.*?^endmodule$"
    return re.sub(module, _module, verilog, flags=re.MULTILINE | re.DOTALL)


def _module(match: re.Match[str]) -> str:
    name, a, b = match[1], int(match[2]), int(match[3])
    registers = [f'.REG_{register}_CLK("CLK0")' for register in ("INPUTA", "INPUTB", "OUTPUT")]
    ports = [".CLK0(clk)", ".CE0(1'b1)", ".RST0(1'b0)"]
    for side, bits in (("A", a), ("B", b)):
        ports += [f".SIGNED{side}(1'b1)", f".SOURCE{side}(1'b0)"]
        ports += [f".{side}{i}({side.lower()}[{min(i, bits - 1)}])" for i in range(BITS)]
    ports += [f".P{i}(o[{i}])" for i in range(a + b)]
    return f"""module {name}(clk, rst, a, b, o);
  input clk;
  input rst;
  input [{a - 1}:0] a;
  input [{b - 1}:0] b;
  output [{a + b - 1}:0] o;
  MULT18X18D #({", ".join(registers)}) product (
    {f",{chr(10)}    ".join(ports)}
  );
endmodule"""
