"""Mutants as text: what is found in Verilog, and what is planted in it."""

import numpy as np
import pytest

from sim.mutate.mutants import KINDS, Mutant, drawn, found, planted

VERILOG = """module top(a, b, clk, rst, o);
  input [3:0] a;
  reg [3:0] held = 4'h0;
  reg [3:0] \\other$1  = 4'h0;
  reg [3:0] words [3:0];
  always @(posedge clk)
    held <= _05_;
  always @(posedge clk)
    \\other$1  <= _06_;
  always @(posedge clk) begin
    if (write)
      words[a[1:0]] <= b;
  end
  assign _00_ = a < b;
  assign _01_ = $signed({ a, 1'h1 }) - $signed(b);
  assign _02_ = 4'h6 >> { a[0], b[0] };
  assign _03_ = ~ a;
  assign _04_ = go ? a : held;
  assign _05_ = rst ? 4'h3 : _04_;
  assign _06_ = stop ? \\other$1  : b;
  assign o = _00_ ? a : b;
endmodule
module \\top.inner (c, d);
  assign c = ! d;
endmodule
"""


def changes(target, kind=None):
    """What an assignment of the Verilog can become."""
    every = found(VERILOG, lambda module: True, np.random.default_rng(0))
    return {m.broken for m in every if m.target == target and kind in (None, m.kind)}


@pytest.mark.parametrize(
    ("target", "kind", "expected"),
    [
        ("_00_", None, {"a <= b", "b < a"}),
        ("_01_", "operator", {"$signed({ a, 1'h1 }) + $signed(b)"}),
        ("_01_", "operands", {"$signed(b) - $signed({ a, 1'h1 })"}),
        ("_01_", "term", {"$signed({ a, 1'h1 })", "$signed(b)"}),
        ("_01_", "constant", {"$signed({ a, 1'h0 }) - $signed(b)"}),
        ("_03_", None, {"a"}),
        ("_04_", None, {"go ? held : a", "a"}),
        ("_05_", None, {"_04_", "rst ? 4'h2 : _04_"}),
        ("_06_", "enable", {"b"}),
        ("o", None, {"_00_ ? b : a"}),
        ("write enable", None, {"1'h1"}),
        ("c", None, {"| d"}),
    ],
)
def test_what_an_assignment_can_become(target, kind, expected):
    assert changes(target, kind) == expected


def test_a_table_has_one_wrong_entry():
    (table,) = changes("_02_")
    value = int(table.split("'h")[1].split()[0], 16)
    assert (value ^ 6).bit_count() == 1 and table.endswith(">> { a[0], b[0] }")


def test_all_mutants_are_planted_and_none_is_there_without_a_choice():
    every = found(VERILOG, lambda module: module == "top", np.random.default_rng(0))
    assert {m.kind for m in every} == set(KINDS)
    text = planted(VERILOG, every, "top.which")
    assert text.count("top.which == ") == len(every)
    assert "if ((top.which == 16'd1) ? (1'h1 ) : (write ))" in text
    assert f"(top.which == 16'd{len(every)})" in text
    assert text.splitlines()[-3:] == VERILOG.splitlines()[-3:]


def test_what_is_drawn_is_spread_over_modules_and_kinds():
    mutants = [Mutant(i, f"m{i % 2}", kind, "a", "b", f"c{i}") for i, kind in enumerate(["term"] * 50 + ["reset"] * 10)]
    some = drawn(mutants, 20, np.random.default_rng(1))
    assert sorted((m.module, m.kind) for m in some) == sorted(
        (module, kind) for module in ("m0", "m1") for kind in ("term", "reset") for _ in range(5)
    )
    assert some == sorted(some, key=lambda m: m.line)
    assert some == drawn(mutants, 20, np.random.default_rng(1)) != drawn(mutants, 20, np.random.default_rng(2))
    assert len(drawn(mutants, 1000, np.random.default_rng(0))) == 60
