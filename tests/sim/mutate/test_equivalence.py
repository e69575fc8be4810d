"""What is proved to change nothing, and what is not."""

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


def proved(verilog, changes):
    """Those of some changes that are proved to be none."""
    mutants = found(verilog, lambda module: module == "top.least", np.random.default_rng(0))
    mutants = [mutant for mutant in mutants if mutant.broken in changes]
    assert len(mutants) == len(changes)
    made = circuit(verilog, mutants)
    assert set(made.registers) == {"o__valid", "o__payload"}
    return {mutant.broken for i, mutant in enumerate(mutants, 1) if equivalent(made, i, 20)}


def test_the_lesser_of_two_equal_numbers_is_either():
    assert proved(VERILOG, {"a <= b", "b < a", "_2_"}) == {"a <= b"}


def test_what_is_not_valid_may_be_anything_unless_another_module_sees_it():
    inside = VERILOG.replace(".d(o__payload)", ".d(a)")
    assert proved(inside, {"_2_"}) == {"_2_"}
