import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.errors import GossetError, ToolError
from golden.folders import cache_folder
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.lattice import contains
from golden.voronoi import RATES, decode
from hw.design import DesignPoint
from sim.benches.catalogue import BENCHES, LEAN, MULTIPLYING, SMALL, STATIONARY
from sim.benches.inside.checks import Mismatch, compare, same
from sim.benches.inside.labels import deep_holes, differences, hard_pairs, ties
from sim.benches.inside.words import pack, unpack
from sim.benches.runner import run_bench

# Few blocks: the benches with their own sizes are another command.
BLOCKS = 20
FEWER = {
    "axi_control": 3,
    "control": 5,
    **dict.fromkeys(("accelerator", "axi_memory", "axi_raw", "axi_read", "axi_stream"), 8),
}
"""Of benches each of whose blocks is many accesses to registers, many beats, or many cycles; all cases are met."""

GIVEN = replace(
    STATIONARY,
    name="uneven_given",
    format=Format(8),
    front_end=FrontEndRules(format=Format(8), length=16, scale="host"),
)
"""The weight-stationary one with another format, and a front end to which the scales of rows are given."""


@pytest.mark.parametrize(
    ("name", "design"),
    [
        *((name, SMALL) for name in BENCHES),
        ("accelerator", STATIONARY),
        ("axi_raw", GIVEN),
        ("cell", MULTIPLYING),
        ("array", replace(MULTIPLYING, activations=("packed", "int8"))),
        *((name, LEAN) for name in ("decoder", "cell")),
        ("decoder", Format(q=2, betas=(3,))),
    ],
    ids=lambda value: f"q{value.q}" if isinstance(value, Format) else None if isinstance(value, str) else value.name,
)
def test_generated_verilog_passes(name: str, design: DesignPoint | Format) -> None:
    seen: list[tuple[int, int]] = []
    blocks = FEWER.get(name, BLOCKS)
    result = run_bench(name, design, blocks=blocks, progress=lambda done, of: seen.append((done, of)))
    assert result.ok, str(result)
    assert result.passed >= 8
    assert result.checked > 200
    assert result.missed == []
    assert result.folder is None
    assert seen == sorted(seen)
    assert seen[-1] == (result.passed, result.passed)


@pytest.mark.parametrize("name", ["decoder", "scaler", "encoder"])
def test_one_block_is_enough(name: str) -> None:
    """Also where a test takes a part of them."""
    result = run_bench(name, SMALL, blocks=1)
    assert result.ok, str(result)


def test_cases_that_no_test_met_are_named() -> None:
    """Without resets and without a consumer that waits."""
    result = run_bench("decoder", SMALL, blocks=BLOCKS, only="full_throughput")
    assert result.ok
    assert {"reset while a block is to come", "stream o: a beat waits"} < set(result.missed)
    assert "\n  not met: stream o: a beat waits" in str(result)


def test_a_seed_repeats_a_run() -> None:
    """Of the bench that draws most, also by what has happened, in two processes, which do not hash strings alike."""
    found = [run_bench("control", SMALL, blocks=2, only="as_modelled/idle=never") for _ in range(2)]
    assert (found[0].checked, found[0].cases) == (found[1].checked, found[1].cases)


def test_a_product_of_many_jobs_is_waited_for() -> None:
    """At the bench's own size the rows of its first 30 jobs stay on chip."""
    result = run_bench("accelerator", SMALL, only="whole_product")
    assert result.ok and result.passed == 1, str(result)


@pytest.mark.parametrize(
    ("name", "only", "pattern", "replacement", "message"),
    [
        # Of two equally cheap pairs the wrong one is turned over.
        (
            "decoder",
            "corners",
            r"turn_odd_1 < turn_odd_0",
            "turn_odd_1 <= turn_odd_0",
            r"block \d+ \(label 0x\w+\), coordinate \d",
        ),
        (
            "decoder",
            "patient_consumer",
            r"(?s)(  wire o_valid;\n.*?)\.o__valid\(o_valid\)",
            r"  wire v;\n  assign o_valid = v & o_ready;\n\1.o__valid(v)",
            r"Stream o depends on its own ready",
        ),
        # The parity of tiles stands still.
        (
            "cell",
            "random_tiles/idle=bursts",
            r"(assign \w+ = )~ parity;",
            r"\1parity;",
            r"o\.tile after \d+ tiles, cycle \d+",
        ),
        # A product of pairs does not give its borrow back.
        (
            "cell",
            "random_tiles/idle=never",
            r"(\[19:10\], )[^,]*\[9\] \}",
            r"\g<1>1'h0 }",
            r"o\.acc after \d+ tiles, cycle \d+",
        ),
        # The first row but one ends a tile.
        (
            "array",
            "tiles_in_a_row",
            r"(left_to_go == )1'h1;",
            r"\g<1>2'h2;",
            r"tile \d+, row \d+, last",
        ),
        # An error is an interrupt though it is not enabled.
        (
            "control",
            "as_modelled/idle=never/stall=never",
            r"irq_status_error & irq_enable_error;",
            "irq_status_error;",
            r"irq in cycle \d+ is 1, and should be 0",
        ),
        # No room is kept in the output queue.
        ("accelerator", "blocked_drain", r"= ~ has_room;", "= 1'h0;", r"cycles blocked of the last 200"),
    ],
    ids=["decoder-tie", "decoder-valid", "cell-parity", "cell-borrow", "array-last", "control-irq", "accelerator-room"],
)
def test_planted_bug_is_found(name: str, only: str, pattern: str, replacement: str, message: str) -> None:
    sound = BENCHES[name].generate(MULTIPLYING).verilog
    text = re.sub(pattern, replacement, sound)
    assert text != sound
    result = run_bench(name, MULTIPLYING, blocks=BLOCKS, only=only, verilog=text)
    assert not result.ok
    assert result.failed == len(result.failures)
    assert any(re.search(message, failure.message) for failure in result.failures), str(result)
    assert f"seed={result.seed}" in str(result)
    assert result.folder is not None
    assert "Traceback" in (result.folder / "log.txt").read_text()
    shutil.rmtree(result.folder)


def test_a_bench_is_built_once_and_runs_again_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime in cache_folder().glob("bench-runtime-*"):  # the runtime need not be compiled again
        shutil.copytree(runtime, tmp_path / "cache" / runtime.name)
    monkeypatch.setenv("GOSSET_CACHE", str(tmp_path / "cache"))

    def run(name: str) -> int:
        return run_bench("decoder", Format(q=2, betas=(3,)), blocks=BLOCKS, folder=tmp_path / name).checked

    first = run("a")
    programs = {path: path.stat().st_mtime_ns for path in cache_folder().glob("bench-*")}
    assert [path for path in programs if (path / "bench_decoder").exists()]
    assert run("b") == first
    assert {path: path.stat().st_mtime_ns for path in cache_folder().glob("bench-*")} == programs
    assert (tmp_path / "b" / "results.xml").exists()


def test_a_design_that_does_not_build_is_an_error() -> None:
    with pytest.raises(ToolError, match="syntax error"):
        run_bench("decoder", SMALL, verilog="module bench_decoder(")


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        run_bench("decoder", SMALL, only="no such test", folder=tmp_path)


def test_unknown_bench() -> None:
    with pytest.raises(GossetError, match=r"No bench is called 'adder'; there are decoder, cell"):
        run_bench("adder", SMALL)


def test_a_format_is_not_enough_for_an_array() -> None:
    with pytest.raises(GossetError, match="needs a design point"):
        run_bench("array", SMALL.format)


def test_mismatches_name_place_and_both_numbers_in_decimal_and_hexadecimal() -> None:
    with pytest.raises(Mismatch, match=r"^tile 3, column 1: expected -2 \(0xfe\), got 17 \(0x11\)\.$"):
        compare("tile 3", "column", [1, -2, 3], [1, 17, 3], 8)
    with pytest.raises(Mismatch, match=r"column 0: .*; 2 of 3 differ\.$"):
        compare("tile 3", "column", [1, -2, 3], [2, 17, 3], 8)
    with pytest.raises(Mismatch, match=r"^counter busy: expected 10 \(0x00a\), got 11 \(0x00b\)\.$"):
        same("counter busy", 10, 11, 12)


def test_words() -> None:
    assert pack([1, -1, 2], 4) == 0x2F1
    assert unpack(0x2F1, 4, 3) == [1, -1, 2]
    assert pack([0, 0], 0) == 0


@pytest.mark.parametrize("q", RATES)
def test_labels_that_are_hard(q: int) -> None:
    rng, format = np.random.default_rng(q), Format(q=q)
    kinds = ties(format, rng)
    assert len([kind for kind in kinds if kind.startswith("pairs")]) == 6
    assert len([kind for kind in kinds if kind.startswith("types")]) == 8
    assert len([kind for kind in kinds if kind.startswith("coordinates")]) == 4
    holes = decode(deep_holes(format), q).astype(int)
    assert len(holes) == 135
    assert contains(holes).all()
    assert ((holes**2).sum(axis=1) == format.norm_bound).all()
    x, w = (decode(labels, q).astype(int) for labels in hard_pairs(format, rng).T)
    products = (x * w).sum(axis=1)
    assert products.max() == format.norm_bound
    assert products.min() < -format.norm_bound / 2
    if q > 2:
        x, w = (decode(labels, q).astype(int) for labels in differences(format).T)
        assert all(set(x[:, i]) == set(range(-q, q)) for i in range(8))
        assert all(set(x[:, i] - w[:, i]) == set(range(1 - 2 * q, 2 * q)) for i in range(8))
