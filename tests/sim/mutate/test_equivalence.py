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


TOKEN = """module \\top.token (clk, rst, valid, last, done);
  input clk;
  input rst;
  input valid;
  input last;
  output done;
  reg [1:0] early = 2'h0;
  reg [1:0] late = 2'h0;
  wire [1:0] _0_;
  wire [1:0] _1_;
  always @(posedge clk)
    early <= _0_;
  always @(posedge clk)
    late <= _1_;
  assign _0_ = rst ? 2'h0 : { last, valid };
  assign _1_ = rst ? 2'h0 : early;
  assign done = late[1] & late[0];
endmodule
"""

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
    resets = {"rst ? 2'h1 : { last, valid }", "rst ? 2'h1 : early"}
    assert proved(TOKEN, {*resets, "early", "late[1]"}, "top.token") == resets


def test_of_points_parities_are_known():
    changes = {"odd ? 2'h2 : 2'h1", "odd ? 2'h3 : 2'h2"}
    assert proved(PARITY, changes, "top.parity", ["i"]) == {"odd ? 2'h2 : 2'h1"}
    assert not proved(PARITY, changes, "top.parity")
