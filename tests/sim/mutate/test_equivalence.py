"""What is proved to change nothing, and what is not."""

import re

import numpy as np
import pytest

from sim.mutate.equivalence import NEAR, Way, circuit, equivalent, modules, outer
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


QUEUE = """module \\top.queue (clk, rst, d, put, valid, q);
  input clk;
  input rst;
  input [3:0] d;
  input put;
  output valid;
  wire valid;
  output [3:0] q;
  wire [3:0] q;
  wire ready;
  reg fresh = 1'h0;
  wire _0_;
  wire [3:0] _1_;
  wire _2_;
  reg [3:0] memory [1:0];
  reg place = 1'h0;
  wire _3_;
  always @(posedge clk)
    fresh <= _0_;
  always @(posedge clk)
    place <= _3_;
  always @(posedge clk)
    if (_2_)
      memory[place] <= _1_;
  assign _0_ = rst ? 1'h0 : put;
  assign _1_ = d + 4'h1;
  assign _2_ = put & ready;
  assign _3_ = rst ? 1'h0 : put;
  assign valid = fresh & ready;
  assign q = memory[place];
  \\top.wait  wait_ (
    .clk(clk),
    .rst(rst),
    .ready(ready)
  );
endmodule

module \\top.wait (clk, rst, ready);
  input clk;
  input rst;
  output ready;
  reg ready = 1'h0;
  wire _0_;
  always @(posedge clk)
    ready <= _0_;
  assign _0_ = ! rst;
endmodule
"""
"""A memory, and a module that says when there is something: never in the cycle after a reset."""


WITHIN = """module \\top.inner (many, a, o);
  input many;
  input a;
  output o;
  wire o;
  wire _0_;
  assign _0_ = many & a;
  assign o = _0_ ^ a;
endmodule

module \\top.middle (many, a, o);
  input many;
  input a;
  output o;
  wire o;
  \\top.inner  inner (
    .many(many),
    .a(a),
    .o(o)
  );
endmodule

module top (a, o);
  input a;
  output o;
  wire o;
  \\top.middle  \\middle$1  (
    .many(1'h0),
    .a(a),
    .o(o)
  );
endmodule
"""
"""What is known of an input two modules around."""

THREE = """module \\top.three (clk, rst, go, o);
  input clk;
  input rst;
  input go;
  output o;
  wire o;
  reg [1:0] count = 2'h0;
  wire [1:0] _0_;
  wire [1:0] _1_;
  wire [1:0] _2_;
  wire _3_;
  always @(posedge clk)
    count <= _0_;
  assign _0_ = rst ? 2'h0 : _1_;
  assign _1_ = go ? _2_ : count;
  assign _2_ = _3_ ? 2'h0 : count + 2'h1;
  assign _3_ = count == 2'h2;
  assign o = count < 2'h3;
endmodule
"""
"""A count that never is three, and would stay there if it were."""

NEVER = """module \\top.never (clk, rst, go, a, o);
  input clk;
  input rst;
  input go;
  input a;
  output o;
  wire o;
  reg one = 1'h0;
  reg other = 1'h0;
  wire _0_;
  wire _1_;
  wire _2_;
  wire _3_;
  always @(posedge clk)
    one <= _0_;
  always @(posedge clk)
    other <= _1_;
  assign _0_ = rst ? 1'h0 : _2_;
  assign _1_ = rst ? 1'h0 : _3_;
  assign _2_ = go ? other : one;
  assign _3_ = go ? one : other;
  assign o = one & a;
endmodule
"""
"""Two bits of which each is what one of them was, from a reset on: never up."""

SHIFT = """module \\top.shift (clk, rst, start, go, line, o__valid, o__payload);
  input clk;
  input rst;
  input start;
  input go;
  input line;
  output o__valid;
  reg o__valid = 1'h0;
  output [2:0] o__payload;
  reg [2:0] o__payload = 3'h0;
  reg [1:0] left = 2'h0;
  wire _0_;
  wire _1_;
  wire _2_;
  wire [1:0] _3_;
  wire [1:0] _4_;
  wire [1:0] _5_;
  wire [1:0] _6_;
  wire [2:0] _7_;
  wire [2:0] _8_;
  wire _9_;
  wire _10_;
  wire [1:0] _11_;
  always @(posedge clk)
    o__valid <= _1_;
  always @(posedge clk)
    left <= _3_;
  always @(posedge clk)
    o__payload <= _7_;
  assign _0_ = _10_ & _2_;
  assign _1_ = rst ? 1'h0 : _0_;
  assign _2_ = _9_ & go;
  assign _3_ = rst ? 2'h0 : _4_;
  assign _4_ = _2_ ? _5_ : _11_;
  assign _5_ = left - 2'h1;
  assign _6_ = start ? 2'h3 : 2'h0;
  assign _7_ = rst ? 3'h0 : _8_;
  assign _8_ = _2_ ? { line, o__payload[2:1] } : o__payload;
  assign _9_ = | left;
  assign _10_ = left == 2'h1;
  assign _11_ = _9_ ? left : _6_;
endmodule
"""
"""Three bits from a line, one after the other, whatever was there before, and however long they take."""

GATHER = """module \\top.gather (clk, rst, go, d, o__valid, o__payload);
  input clk;
  input rst;
  input go;
  input [31:0] d;
  output o__valid;
  wire o__valid;
  wire open;
  output [63:0] o__payload;
  reg [63:0] o__payload = 64'h0;
  reg [1:0] count = 2'h0;
  wire _0_;
  wire [1:0] _1_;
  wire [1:0] _2_;
  wire [1:0] _3_;
  wire [63:0] _4_;
  wire _5_;
  wire _6_;
  wire _7_;
  wire _8_;
  wire _9_;
  always @(posedge clk)
    count <= _1_;
  always @(posedge clk)
    o__payload <= _4_;
  assign _0_ = o__valid ? 1'h0 : go;
  assign _1_ = rst ? 2'h0 : _2_;
  assign _2_ = _0_ ? _3_ : count;
  assign _3_ = count + 2'h1;
  assign _4_[31:0] = _5_ ? d : o__payload[31:0];
  assign _4_[63:32] = _6_ ? d : o__payload[63:32];
  assign _5_ = _7_ & _8_;
  assign _6_ = _7_ & _9_;
  assign _7_ = open & go;
  assign _8_ = count == 2'h0;
  assign _9_ = count == 2'h1;
  assign open = ~ o__valid;
  assign o__valid = count == 2'h2;
endmodule
"""
"""Two words that are gathered, one after the other, whatever was there before."""


def proved(verilog, changes, module="top.least", points=(), lines=0, around=(), values=False, reset_cycles=1):
    """Those of some changes that are proved to be none."""
    mutants = found(verilog, lambda name: name == module, np.random.default_rng(0))
    mutants = [mutant for mutant in mutants if mutant.broken in changes]
    assert {mutant.broken for mutant in mutants} == changes
    made = circuit(verilog, mutants, around, points, lines=lines, reset_cycles=reset_cycles)
    own = set(re.findall(r"^  reg (?:\[.*\] )?(\w+) =", modules(verilog)[module], re.MULTILINE))
    assert {name for name in made.registers if "[" not in name and "." not in name} == own  # of memories and parts: not
    way = Way(len(around), lines, (1, 3), values, 20)
    return {mutant.broken for i, mutant in enumerate(mutants, 1) if equivalent(made, i, way)}


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


def test_a_longer_reset_reaches_what_it_does_not_reset():
    harmless, harmful = {"token_1", "token_2"}, {"last | valid", "valid"}
    assert not proved(TOKEN, harmless | harmful, "top.token")
    assert proved(TOKEN, harmless | harmful, "top.token", reset_cycles=2) == harmless


def test_of_points_parities_are_known():
    changes = {"odd ? 2'h2 : 2'h1", "odd ? 2'h3 : 2'h2"}
    assert proved(PARITY, changes, "top.parity", ["i"]) == {"odd ? 2'h2 : 2'h1"}
    assert not proved(PARITY, changes, "top.parity")


def test_small_modules_are_looked_into_and_memories_are_not():
    harmless = {"put", "rst ? 1'h1 : put", "fresh"}
    fresh = QUEUE.replace("_3_ = rst ? 1'h0 : put;", "_3_ = put | place;")
    assert proved(fresh, harmless, "top.queue", lines=NEAR) == harmless
    assert not proved(fresh, harmless, "top.queue")
    harmful = {"d", "4'h1", "put | ready", "put", "ready", "1'h1"}
    late = QUEUE.replace("_0_ = rst ? 1'h0 : put;", "_0_ = put;").replace("_3_ = rst ? 1'h0 : put;", "_3_ = put;")
    assert not proved(late, harmful, "top.queue", lines=NEAR)


def test_where_a_memory_is_read_or_written_in_vain_does_not_matter():
    changes = {"d[0]", "rst ? 1'h1 : d[0]"}
    unlike = QUEUE.replace("_0_ = rst ? 1'h0 : put;", "_0_ = put;")
    unlike = unlike.replace("_3_ = rst ? 1'h0 : put;", "_3_ = rst ? 1'h0 : d[0];")
    assert proved(unlike, changes, "top.queue", lines=NEAR) == changes
    assert not proved(unlike.replace("valid = fresh & ready", "valid = fresh"), changes, "top.queue", lines=NEAR)
    assert not proved(unlike.replace("_2_ = put & ready", "_2_ = put"), changes, "top.queue", lines=NEAR)


def test_what_is_written_in_a_longer_reset_does_matter():
    writes = QUEUE.replace("_2_ = put & ready", "_2_ = _4_ & ready").replace("  wire _3_;", "  wire _3_;\n  wire _4_;")
    writes = writes.replace("  assign valid", "  assign _4_ = rst ? 1'h0 : d[0];\n  assign valid")
    changes = {"d[0]", "rst ? 1'h1 : d[0]"}
    for cycles in (1, 2):
        assert not proved(writes, changes, "top.queue", lines=NEAR, reset_cycles=cycles)


def test_what_a_memory_holds_at_first_does_not_matter():
    table = "  initial begin\n    memory[0] = 4'h1;\n    memory[1] = 4'h2;\n  end\n"
    holds = QUEUE.replace("  reg place = 1'h0;\n", f"{table}  reg place = 1'h0;\n")
    assert not proved(holds, {"put", "4'h1"}, "top.queue")
    only = re.sub(r"  always @\(posedge clk\)\n    if .*\n.*\n", "", holds)
    unwritten = {"put | ready", "4'h1"}
    assert proved(only, {*unwritten, "fresh | ready"}, "top.queue") == unwritten


def test_what_the_modules_around_give_it_is_known():
    assert outer(WITHIN, "top.inner") == ["top.middle", "top"]
    for ring, same in ((), set()), (["top.middle"], set()), (["top.middle", "top"], {"many"}):
        assert proved(WITHIN, {"many", "_0_"}, "top.inner", around=ring) == same


def test_values_that_a_register_never_has_do_not_matter():
    assert not proved(THREE, {"count <= 2'h3"}, "top.three")
    assert proved(THREE, {"count <= 2'h3", "count < 2'h2"}, "top.three", values=True) == {"count <= 2'h3"}


def test_a_bit_that_is_never_up_does_not_matter():
    changes = {"one", "a", "one | a"}
    assert not proved(NEVER, changes, "top.never")
    assert proved(NEVER, changes, "top.never", values=True) == {"one"}


def test_what_is_there_only_while_a_register_has_a_value_is_known():
    changes = {"_8_", "start ? 2'h2 : 2'h0"}
    assert not proved(SHIFT, changes, "top.shift")
    assert proved(SHIFT, changes, "top.shift", values=True) == {"_8_"}


def test_of_what_is_gathered_each_word_may_be_there_before_the_next():
    changes = {"open", "_3_", "count == 2'h3"}
    assert not proved(GATHER, changes, "top.gather")
    assert proved(GATHER, changes, "top.gather", values=True) == {"open"}
