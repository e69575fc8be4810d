from dataclasses import replace

import numpy as np

from fpga.gateware.multipliers import with_ecp5_multipliers
from hw.generate import generate
from sim.rtl.model import Model
from tests.hw.array.test_pairs import Inner, every_pair, sides_of, words


def mult18x18d():
    """Lattice's MULT18X18D in Verilog, as far as it is used here: registers by their clocks' parameters."""
    ports = {name: [f"{name}{i}" for i in range(bits)] for name, bits in (("A", 18), ("B", 18), ("P", 36))}
    control = ["SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB", "CLK0", "CE0", "RST0"]
    a, b, p = (", ".join(reversed(ports[name])) for name in "ABP")
    return f"""
module MULT18X18D(input {a}, input {b}, input {", ".join(control)}, output {p});
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_OUTPUT_CLK = "NONE";
  wire signed [17:0] a_now = {{{a}}}, b_now = {{{b}}};
  reg signed [17:0] a_held, b_held;
  reg signed [35:0] p_held;
  wire signed [17:0] a = REG_INPUTA_CLK == "CLK0" ? a_held : a_now;
  wire signed [17:0] b = REG_INPUTB_CLK == "CLK0" ? b_held : b_now;
  wire signed [35:0] p = SIGNEDA & SIGNEDB & ~SOURCEA & ~SOURCEB ? a * b : 36'sd0;
  always @(posedge CLK0) if (CE0) begin
    a_held <= a_now;
    b_held <= b_now;
    p_held <= RST0 ? 36'sd0 : p;
  end
  assign {{{p}}} = REG_OUTPUT_CLK == "CLK0" ? p_held : p;
endmodule
"""


def test_ecp5s_multipliers_do_the_same(tmp_path):
    sides = sides_of(16, int8=True)
    generated = generate(Inner(sides), "inner_ecp5")
    mapped = with_ecp5_multipliers(generated.verilog)
    assert "MULT18X18D" in mapped and "*" not in mapped.replace("(*", "").replace("*)", "")
    path = replace(generated, verilog=mapped + mult18x18d()).write(tmp_path)
    values = every_pair(sides)[:, ::5]
    x, w = (np.tile(pair.T, 4) * (np.arange(8) < 2) for pair in (values[:2], values[2:]))
    beats = np.hstack([words(block, 5) for block in (x, w)])
    with Model(path) as model:
        model.reset()
        found = model.run({"i": beats}, {"o": len(beats)}).outputs["o"][:, 0].astype(np.int64)
    np.testing.assert_array_equal((found ^ 1024) - 1024, (x * w).sum(axis=1))
