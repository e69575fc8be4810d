"""Two designs in Verilog that have what a model must know of, what goes through them, and what has to come out."""

from typing import Any

import numpy as np

from sim.rtl.model import Model, Run

# A register stage whose ready is combinational, which can be told to misbehave and notices when its input does; a
# stream that always has something to give; and ports of every size.
BENCH = """
module bench(
  input clk, input rst, input [2:0] mode,
  input [7:0] a_tag, input [39:0] a_x, input a_valid, output a_ready,
  output [7:0] y_tag, output [40:0] y_sum, output [69:0] y_wide, output y_valid, input y_ready,
  input [99:0] word, output [99:0] inverted, input [15:0] half, output [15:0] swapped,
  input [3:0] address, output [70:0] stored,
  output [15:0] t_count, output t_valid, input t_ready, output reg rude
);
  localparam GOOD = 0, WITHDRAWS = 1, CHANGES = 2, WAITS = 3, MUTE = 4, STOPS = 5;
  reg full, turn, waiting;
  reg [47:0] offered;
  reg [15:0] given;
  reg [7:0] tag;
  reg [39:0] x;
  reg [70:0] store [15:0];
  wire give = y_valid & y_ready;
  assign a_ready = ~full | give;
  assign y_valid = full & (mode == WITHDRAWS ? turn : mode == WAITS ? y_ready : mode != MUTE);
  assign y_tag = mode == CHANGES ? tag ^ {7'd0, turn} : tag;
  assign y_sum = x + 41'd1;
  assign y_wide = {30'h2abcdef0, x};
  assign inverted = ~word;
  assign swapped = {half[7:0], half[15:8]};
  assign stored = store[address];
  assign t_count = given;
  assign t_valid = 1;
  ticks ticks_0(.clk(clk), .rst(rst));
  always @(posedge clk) begin
    if (mode == STOPS) $stop;
    turn <= ~turn;
    if (a_ready) begin full <= a_valid; tag <= a_tag; x <= a_x; end
    if (a_valid & a_ready) store[a_tag[3:0]] <= {31'd0, a_x};
    if (t_ready) given <= given + 1;
    waiting <= a_valid & ~a_ready;
    offered <= {a_tag, a_x};
    if (waiting & ~(a_valid & offered == {a_tag, a_x})) rude <= 1;
    if (rst) begin full <= 0; turn <= 0; given <= 0; waiting <= 0; rude <= 0; end
  end
endmodule

module ticks(input clk, input rst);
  reg [63:0] count;
  always @(posedge clk) count <= rst ? 0 : count + 1;
endmodule
"""
GOOD, WITHDRAWS, CHANGES, WAITS, MUTE, STOPS = range(6)


def port(name: str, direction: str, width: int) -> dict[str, Any]:
    return {"name": name, "direction": direction, "width": width}


BENCH_DESCRIPTION = {
    "top": "bench",
    "clock": "clk",
    "reset": "rst",
    "ports": [
        *(port(name, "in", 1) for name in ("clk", "rst", "a_valid", "y_ready", "t_ready")),
        *(port(name, "out", 1) for name in ("a_ready", "y_valid", "t_valid")),
        *(port("a_tag", "in", 8), port("a_x", "in", 40), port("y_tag", "out", 8), port("y_sum", "out", 41)),
        port("t_count", "out", 16),
        *(port("y_wide", "out", 70), port("word", "in", 100), port("inverted", "out", 100), port("mode", "in", 3)),
    ],
    "streams": [
        {"name": "a", "direction": "in", "always_ready": False, "payload": ["a_tag", "a_x"]},
        {"name": "y", "direction": "out", "always_ready": False, "payload": ["y_tag", "y_sum", "y_wide"]},
        {"name": "t", "direction": "out", "always_ready": False, "payload": ["t_count"]},
    ],
}

# Another design in the same process: streams without ready, one of them a cycle behind the other.
PIPE = """
module pipe(
  input clk, input rst, input a_valid, input [31:0] a_x, input [15:0] a_h,
  output reg y_valid, output reg [31:0] y_x, output reg z_valid, output reg [15:0] z_h
);
  reg [15:0] h;
  always @(posedge clk) begin
    y_valid <= a_valid & ~rst; y_x <= a_x * 3; h <= ~a_h;
    z_valid <= y_valid & ~rst; z_h <= h;
  end
endmodule
"""
PIPE_DESCRIPTION = {
    "top": "pipe",
    "clock": "clk",
    "reset": "rst",
    "ports": [
        *(port(name, "in", 1) for name in ("clk", "rst", "a_valid")),
        *(port("a_x", "in", 32), port("a_h", "in", 16)),
        *(port("y_valid", "out", 1), port("z_valid", "out", 1), port("y_x", "out", 32), port("z_h", "out", 16)),
    ],
    "streams": [
        {"name": "a", "direction": "in", "always_ready": True, "payload": ["a_x", "a_h"]},
        {"name": "y", "direction": "out", "always_ready": True, "payload": ["y_x"]},
        {"name": "z", "direction": "out", "always_ready": True, "payload": ["z_h"]},
    ],
}

RNG = np.random.default_rng(8)
TAGS = RNG.integers(0, 1 << 8, 500, dtype=np.uint32)
XS = RNG.integers(0, 1 << 40, 500, dtype=np.uint64)


def beats(model: Model, count: int = len(TAGS)) -> np.ndarray:
    return model.layout("a").pack({"a_tag": TAGS[:count], "a_x": XS[:count]})


def assert_sums(model: Model, run: Run, count: int = len(TAGS)) -> None:
    got = model.layout("y").unpack(run.outputs["y"])
    np.testing.assert_array_equal(got["y_tag"], TAGS[:count])
    np.testing.assert_array_equal(got["y_sum"], XS[:count] + 1)
    low = got["y_wide"][:, 0] | got["y_wide"][:, 1].astype(np.uint64) << 32
    np.testing.assert_array_equal(low & ((1 << 40) - 1), XS[:count])
    np.testing.assert_array_equal(low >> 40, 0x2ABCDEF0 & 0xFFFFFF)
    np.testing.assert_array_equal(got["y_wide"][:, 2], 0x2ABCDEF0 >> 24)
