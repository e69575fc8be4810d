import pytest

from golden.errors import GossetError
from golden.format import Format
from hw.design import PRESETS, DesignPoint


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_being_written_down(name):
    design = PRESETS[name]
    assert DesignPoint.from_dict(design.as_dict()) == design
    assert DesignPoint.load(name) is design


def test_a_toml_file_describes_a_design(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nrows = 3\ncols = 5\ndsp_cols = 2\n[format]\nq = 8\nbetas = [1, 2]\n')
    design = DesignPoint.load(str(path))
    assert (design.rows, design.cols, design.format, design.drain_rows) == (3, 5, Format(8, (1, 2)), 64)
    assert design.dsp_cols == 2 and DesignPoint.from_dict(design.as_dict()) == design
    assert design.macs_per_cycle == 120 and design.module == "gosset_mine"


def test_another_format_has_another_name():
    small = PRESETS["small"]
    assert small.with_format(small.format) is small
    assert small.with_format(Format(8)).name == "small_q8"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 0}, "rows must be from 1 to 32"),
        ({"cols": 33}, "cols must be from 1 to 32"),
        ({"rows": 2.0}, "rows must be from 1 to 32"),
        ({"name": "my design"}, "Verilog identifier"),
        ({"drain_rows": 65}, "drain_rows must be a power of two"),
        ({"rows": 16, "drain_rows": 32}, "drain_rows must be from 80"),
        ({"rows": 8, "panel_rows": 7}, "panel_rows must be from 8"),
        ({"x_depth": 100}, "x_depth must be a power of two"),
        ({"x_depth": 2}, "x_depth must be from 4"),
        ({"w_depth": 48}, "w_depth must be a power of two"),
        ({"dsp_cols": 5}, "dsp_cols must be from 0 to 4"),
        ({"dsp_cols": 1, "format": {"q": 32}}, "q = 32 do not fit a multiplier of 18×18 bits"),
        ({"jobs": 1}, "jobs must be from 2"),
        ({"bus_bits": 96}, "bus_bits must be a power of two"),
        ({"dataflow": "rs"}, "output-stationary"),
        ({"dataflow": "ws", "w_depth": 512}, "no memory of weights"),
        ({"activations": []}, "not \\(\\)"),
        ({"activations": ["int4"]}, "int4"),
        ({"activations": "int8"}, "'int8'"),
        ({"activations": ["int8", "int8"]}, "'int8', 'int8'"),
        ({"format": {"q": 12}}, "q must be a power of two"),
        ({"format": {"q": 16, "beta": 3}}, "table of q and betas"),
        ({"colour": 1}, "no field 'colour'"),
    ],
)
def test_what_is_out_of_range_is_refused(change, words):
    with pytest.raises(GossetError, match=words):
        DesignPoint.from_dict({"name": "x", "rows": 4, "cols": 4} | change)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows = 1\ncols = 1", "needs the field 'name'"),
        ("rows = ", "does not describe"),
        ("name = 3\nrows = 1\ncols = 1", "Verilog identifier"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(GossetError, match=words):
        DesignPoint.load(str(path))


@pytest.mark.parametrize("name", ["huge", "nowhere.toml"])
def test_an_unknown_design_is_refused(name):
    with pytest.raises(GossetError, match=name):
        DesignPoint.load(name)
