"""What is read of Verilator's counts."""

from sim.benches.catalogue import SMALL
from sim.benches.coverage import read
from sim.benches.runner import run_bench

VERILOG = """\
module m(input clk, input a, output reg b);
  always @(posedge clk)
    if (a)  b <= 1'h1;
endmodule
"""

POINTS = (
    ({"l": "1", "page": "v_toggle/m", "o": "a:0->1", "h": "m"}, 7),
    ({"l": "1", "page": "v_toggle/m", "o": "a:1->0", "h": "m"}, 0),
    ({"l": "3", "page": "v_branch/m.core", "o": "if", "h": "m.core.unit"}, 0),
    ({"l": "3", "page": "v_branch/m.core", "o": "else", "h": "m.core.unit"}, 4),
    ({"l": "2", "page": "v_line/m.core", "o": "block", "h": "m.core.unit"}, 11),
)


def test_counts_are_read(tmp_path):
    lines = ["# SystemC::Coverage-3"]
    for fields, times in POINTS:
        lines.append("C '" + "".join(f"\x01{key}\x02{value}" for key, value in fields.items()) + f"' {times}")
    (tmp_path / "coverage.dat").write_text("\n".join(lines), encoding="utf-8")
    found = read(tmp_path / "coverage.dat", VERILOG)
    assert found.total == {"lines": 1, "branches": 2, "toggles": 2}
    assert found.met == {"lines": 1, "branches": 1, "toggles": 1}
    assert found.never == ["core.unit: if of `if (a) b <= 1'h1;`"]
    assert str(found) == "1 of 1 lines, 1 of 2 branches, 1 of 2 toggles"


def test_a_bench_goes_through_its_decoder_and_a_single_test_does_not():
    whole = run_bench("decoder", SMALL, blocks=50, covers=True).coverage
    assert whole is not None
    assert whole.met["lines"] == whole.total["lines"] > 100
    assert whole.met["branches"] == whole.total["branches"] > 100
    assert whole.never == []
    assert 0.95 < whole.met["toggles"] / whole.total["toggles"] < 1
    part = run_bench("decoder", SMALL, blocks=2, covers=True, only="full_throughput")
    assert part.coverage is not None
    assert part.coverage.total == whole.total
    assert part.coverage.met["toggles"] < whole.met["toggles"]
    assert f"\n  {part.coverage}" in str(part)
