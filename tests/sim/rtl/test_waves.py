"""Waves, and descriptions that do not describe."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from golden.errors import GossetError, ToolError
from sim.rtl.model import Model
from tests.sim.rtl.designs import BENCH_DESCRIPTION, beats


def test_vcd_shows_every_edge(folder: Path, tmp_path: Path) -> None:
    waves = tmp_path / "new" / "bench.vcd"
    with Model(folder / "bench.v", trace=waves) as model:
        model.reset()
        model.run({"a": beats(model, 5)}, {"y": 5})
        cycles = model.cycles
    text = waves.read_text()
    assert " y_sum " in text
    assert " count " in text
    clock = next(line.split()[3] for line in text.splitlines() if line.strip().endswith(" clk $end"))
    assert text.splitlines().count(f"1{clock}") == cycles
    assert text.rstrip().splitlines()[-1].lstrip("#")
    assert f"#{2 * cycles - 1}\n" in text


def test_fst_or_what_it_needs(folder: Path, tmp_path: Path) -> None:
    waves = tmp_path / "bench.fst"
    compiler = shutil.which("c++")
    assert compiler
    probe = subprocess.run(
        [compiler, "-x", "c++", "-fsyntax-only", "-"],
        input=b"#include <lz4.h>\n#include <zlib.h>\n",
        capture_output=True,
    )
    if probe.returncode:
        with pytest.raises(ToolError, match=r"apt install liblz4-dev.*\.vcd needs nothing"):
            Model(folder / "bench.v", trace=waves)
        return
    with Model(folder / "bench.v", trace=waves) as model:
        model.run({"a": beats(model, 5)}, {"y": 5})
    assert waves.stat().st_size > 100


def test_waves_of_another_kind_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GossetError, match=r"\.fst or \.vcd; got bench\.ghw"):
        Model(folder / "bench.v", trace=tmp_path / "bench.ghw")


def test_missing_or_bad_description(folder: Path, tmp_path: Path) -> None:
    design = shutil.copy(folder / "bench.v", tmp_path)
    with pytest.raises(GossetError, match=r"bench\.json is missing"):
        Model(Path(design))
    without_ready = BENCH_DESCRIPTION | {"ports": BENCH_DESCRIPTION["ports"][:3]}
    for text in ("{", '{"top": "bench"}', json.dumps(without_ready)):
        (tmp_path / "bench.json").write_text(text)
        with pytest.raises(GossetError, match=r"bench\.json does not describe a design"):
            Model(Path(design))
