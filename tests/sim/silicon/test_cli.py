import json
import re
import shutil

import pytest
from typer.testing import CliRunner

import gosset
from golden.errors import GossetError
from sim.silicon import report
from sim.silicon.tables import load, technologies
from sim.silicon.technologies import libraries
from tests.sim.silicon import tiny


def run(*arguments):
    return CliRunner().invoke(gosset.app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})


@pytest.mark.skipif(not shutil.which("iverilog"), reason="gate-level simulation needs Icarus Verilog on PATH")
def test_silicon_measures_a_unit(tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(tiny.library())
    done = run("silicon", "add_8", "--liberty", path, "--quick", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "out" / "table.json").read_text())["units"]["add_8"]
    assert re.search(rf"add_8 +│ +{row['area_um2']:.1f}", done.output)
    assert f"{row['events']['compute']['total']:.4f}" in done.output


def test_a_library_is_needed(tmp_path, monkeypatch):
    assert isinstance(run("silicon").exception, GossetError)
    monkeypatch.delenv("GOSSET_PDK", raising=False)
    with pytest.raises(GossetError, match="Set GOSSET_PDK to the folder with ihp's"):
        libraries("ihp")
    with pytest.raises(GossetError, match="asap7, ihp, sky130, not 'tsmc'"):
        libraries("tsmc")
    monkeypatch.setenv("GOSSET_PDK", str(tmp_path))
    with pytest.raises(GossetError, match=r"has no file sg13g2_stdcell_typ_1p20V\*\.lib\* or ihp_typ"):
        libraries("ihp")
    for name in ("ihp_typ.lib", "ihp_typ.lib.xz"):
        (tmp_path / name).write_text("")
    assert libraries("ihp") == [tmp_path / "ihp_typ.lib"]


@pytest.mark.parametrize("technology", technologies())
def test_the_tables_that_are_shipped_hold_what_the_model_needs(technology, tmp_path):
    done = run("energy", "-M", 16, "-N", 64, "-K", 256, "--table", technology, "--explain")
    assert done.exit_code == 0, done.output
    table = load(technology)
    assert (
        "error band" in done.output
        and f"{table['units']['cell_q16']['events']['compute']['total']:g} pJ" in done.output
    )
    for unit in table["units"].values():
        for event in unit["events"].values():
            assert event["total"] == pytest.approx(event["load"] + event["internal"] + event["clock"], abs=2e-6)
    assert not re.search(r"/(?:work|tmp|home)/", json.dumps(table))
    shown = run("silicon", "cell_q16", "--table", technology, "-o", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "Where integers break even" in shown.output and "decoder_q16" not in shown.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comparison.md", "plane.png", "reuse.png"]
    text = (tmp_path / "comparison.md").read_text()
    assert "| E8 q = 16, lean | 4.25 | 23.7 |" in text and "| int-g64 at 23.7 dB |" in text


def test_what_a_table_does_not_have_is_refused():
    assert "no unit 'cell'; it has" in str(run("silicon", "cell", "--table", "asap7").exception)
    assert "--quick is for" in str(run("silicon", "--quick", "--table", "asap7").exception)
    assert "or a --table that was measured" in str(run("silicon", "--tech", "ihp", "--table", "ihp").exception)


def test_published_figures_are_within_twice(tmp_path):
    # 7 nm, Jouppi et al., ISCA 2021: 8-bit multiplication 0.07 pJ, addition 0.007 pJ.
    units = load("asap7")["units"]
    for name, published in (("multiply_8x8", 0.07), ("add_8", 0.007)):
        assert published / 2 < units[name]["events"]["compute"]["total"] < 2 * published


@pytest.mark.parametrize("kind", report.PARTS)
def test_an_array_is_what_its_parts_are(kind):
    known = load("asap7")["units"]
    whole, (area, energy) = known[f"array_2x2_q16{kind}"], report.parts(known, 2, kind)
    assert whole["area_um2"] == pytest.approx(area, rel=0.05)
    assert whole["events"]["compute"]["total"] == pytest.approx(energy, rel=0.05)
