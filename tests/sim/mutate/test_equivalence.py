"""What is proved to change nothing, and what is not."""

import re

import numpy as np
import pytest

from sim.mutate.equivalence import circuit, equivalent
from sim.mutate.mutants import found

pytest.importorskip("bitwuzla")

VERILOG = """module \\top.least (clk, rst, a, b, go, o__valid, o__payload, seen);
  input clk;
  input rst;
  input go;
  input [3:0] a;
  input [3:0] b;
  output o__valid;
  reg o__valid = 1'h0;
  output [3:0] o__payload;
  reg [3:0] o__payload = 4'h0;
  output [3:0] seen;
  wire [3:0] seen;
  wire _0_;
  wire _1_;
  wire [3:0] _2_;
  wire [3:0] _3_;
  always @(posedge clk)
    o__valid <= _1_;
  always @(posedge clk)
    o__payload <= _3_;
  assign _0_ = a < b;
  assign _1_ = rst ? 1'h0 : go;
  assign _2_ = _0_ ? a : b;
  assign _3_ = go ? _2_ : o__payload;
  \\top.part  part (
    .d(o__payload),
    .e(seen)
  );
endmodule

module \\top.part (d, e);
  input [3:0] d;
  output [3:0] e;
  assign e = ~ d;
endmodule
"""


STAGES = 6
"""More than an induction sees through."""

TOKEN = f"""module \\top.token (clk, rst, valid, last, done);
  input clk;
  input rst;
  input valid;
  input last;
  output done;
  wire ends;
{
    "".join(
        f'''  reg [1:0] token_{i} = 2'h0;
  wire [1:0] _{i}_;
  always @(posedge clk)
    token_{i} <= _{i}_;
  assign _{i}_ = rst ? 2'h0 : {f"token_{i - 1}" if i else "{ ends, valid }"};
'''
        for i in range(STAGES)
    )
}  assign ends = last & valid;
  assign done = token_{STAGES - 1}[1] & token_{STAGES - 1}[0];
endmodule
"""
"""Whether something is there, and whether it is the last, which matters only if it is there."""

PARITY = """module \\top.parity (i, o);
  input [15:0] i;
  output [1:0] o;
  wire odd;
  assign odd = i[0] ^ i[2] ^ i[4] ^ i[6];
  assign o = odd ? 2'h3 : 2'h1;
endmodule
"""
"""Of coordinates of two bits: never odd, where they are a point."""


def proved(verilog, changes, module="top.least", points=()):
    """Those of some changes that are proved to be none."""
    mutants = found(verilog, lambda name: name == module, np.random.default_rng(0))
    mutants = [mutant for mutant in mutants if mutant.broken in changes]
    assert {mutant.broken for mutant in mutants} == changes
    made = circuit(verilog, mutants, points=points)
    assert set(made.registers) == set(re.findall(r"^  reg (?:\[.*\] )?(\w+) =", verilog, re.MULTILINE))
    return {mutant.broken for i, mutant in enumerate(mutants, 1) if equivalent(made, i, 20)}


def test_the_lesser_of_two_equal_numbers_is_either():
    assert proved(VERILOG, {"a <= b", "b < a", "_2_"}) == {"a <= b"}


def test_what_is_not_valid_may_be_anything_unless_another_module_sees_it():
    inside = VERILOG.replace(".d(o__payload)", ".d(a)")
    assert proved(inside, {"_2_"}) == {"_2_"}


def test_a_narrow_register_is_looked_at_bit_by_bit():
    harmless = {"rst ? 2'h1 : { ends, valid }", "rst ? 2'h1 : token_1", "last"}
    end = f"token_{STAGES - 1}"
    harmful = {"last | valid", "valid", "token_1", f"{end}[1] | {end}[0]"}
    assert proved(TOKEN, harmless | harmful, "top.token") == harmless


def test_of_points_parities_are_known():
    changes = {"odd ? 2'h2 : 2'h1", "odd ? 2'h3 : 2'h2"}
    assert proved(PARITY, changes, "top.parity", ["i"]) == {"odd ? 2'h2 : 2'h1"}
    assert not proved(PARITY, changes, "top.parity")
