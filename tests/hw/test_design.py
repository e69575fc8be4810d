import json
from dataclasses import replace

import numpy as np
import pytest

from golden.errors import GossetError
from golden.format import Format
from golden.frontend import FrontEndRules
from golden.output import OutputRules
from hw.design import PRESETS, DesignPoint


def test_jobs_that_begin_anew_keep_nothing():
    with pytest.raises(GossetError, match="leave keep_rows or abort out"):
        DesignPoint(name="both", rows=1, cols=1, panel_rows=4, keep_rows=16, abort=True)


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


def test_what_came_later_is_written_down_where_it_is_used():
    small = PRESETS["small"]
    assert "prefetch" not in small.as_dict()
    deep = replace(small, prefetch=1024, burst=64)
    assert deep.as_dict()["prefetch"] == 1024 and DesignPoint.from_dict(deep.as_dict()) == deep
    finishing = replace(small, output=OutputRules(result="int16"))
    assert finishing.as_dict()["output"] == {"result": "int16"}
    assert DesignPoint.from_dict(finishing.as_dict()) == finishing
    scaled = replace(small, output=OutputRules(row_scales=True))
    assert scaled.as_dict()["output"] == {"result": "int8", "row_scales": True}
    assert DesignPoint.from_dict(scaled.as_dict()) == scaled


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
        ({"pipeline": "long"}, 'The pipeline is "deep"'),
        ({"pipeline": "lean", "dsp_cols": 1}, "leave dsp_cols or lean out"),
        ({"jobs": 1}, "jobs must be from 2"),
        ({"bus_bits": 96}, "bus_bits must be a power of two"),
        ({"keep_rows": 32}, "keep_rows must be from 64"),
        ({"rows": 1, "cols": 1, "panel_rows": 1, "keep_rows": 2}, "keep_rows must be from 4"),
        ({"keep_rows": 96}, "keep_rows must be a power of two"),
        ({"keep_rows": -1}, "keep_rows must be from 0"),
        ({"axcache": 16}, "axcache must be from 0 to 15"),
        ({"axprot": 8}, "axprot must be from 0 to 7"),
        ({"address_bits": 31}, "address_bits must be from 32 to 64"),
        ({"id_bits": 1}, "id_bits must be from 2 to 16"),
        ({"id_bits": 2, "output": {"result": "int8"}}, "id_bits must be from 3 to 16"),
        ({"id_bits": 17}, "id_bits must be from 0 to 16"),
        ({"strides": 2}, "strides is true or false, not 2"),
        ({"codes": 1}, "codes is true or false, not 1"),
        ({"codes": True}, "Packed codes to be written come out of a front end, which the design has not"),
        ({"burst": 8}, "burst must be from 16 to 256"),
        ({"burst": 128, "bus_bits": 512}, "burst must be from 16 to 64"),
        ({"prefetch": 96}, "prefetch must be a power of two"),
        ({"burst": 64, "prefetch": 64}, "prefetch must be from 128"),
        ({"dataflow": "rs"}, "output-stationary"),
        ({"dataflow": "ws", "w_depth": 512}, "no memory of weights"),
        ({"activations": []}, "not \\(\\)"),
        ({"activations": ["int4"]}, "int4"),
        ({"activations": "int8"}, "'int8'"),
        ({"activations": ["int8", "int8"]}, "'int8', 'int8'"),
        ({"format": {"q": 12}}, "q must be a power of two"),
        ({"format": {"q": 16, "beta": 3}}, "table of q and betas"),
        ({"output": {"result": "int4"}}, "Results are int8 or int16 or int32 or bfloat16, not 'int4'"),
        ({"output": {"bits": 8}}, "has no field 'bits'"),
        ({"output": 8}, "table of result"),
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


WRONG = {
    "rows": ["4.0", "'4'", "true", "nan", "inf", "[4]", "{ n = 4 }", "-4", "1979-05-27", "9223372036854775808"],
    "cols": ["'4'", "4.5", "false"],
    "dsp_cols": ["0.0", "true", "'0'"],
    "pipeline": ["1", "true", "['lean']", "'Lean'", "{}", "nan"],
    "panel_rows": ["64.0", "true"],
    "x_depth": ["1024.0", "'1024'", "nan"],
    "w_depth": ["512.0", "0.0", "true", "false", "'0'", "[]", "{}", "-1"],
    "drain_rows": ["64.0", "0.0", "false", "nan", "'64'"],
    "jobs": ["4.0", "'4'", "[2, 3]"],
    "bus_bits": ["64.0", "true", "''"],
    "keep_rows": ["64.0", "true", "'64'"],
    "axcache": ["3.0", "true", "'3'"],
    "axprot": ["0.0", "true", "'0'"],
    "burst": ["16.0", "true", "'16'"],
    "prefetch": ["64.0", "true", "'64'"],
    "address_bits": ["64.0", "true", "'64'"],
    "id_bits": ["2.0", "true", "'2'"],
    "port_registers": ["1", "0", "'true'", "[]"],
    **{key: ["1", "0", "'true'", "[]"] for key in ("diagnostics", "codes", "ring", "coalescing", "idle", "abort")},
    "strides": ["1", "0", "'true'", "{}"],
    "name": ["3", "true", "['x']", "{ x = 1 }", "''", "1979-05-27"],
    "dataflow": ["1", "true", "['os']", "'OS'", "{}", "nan"],
    "activations": ["1", "true", "'packed'", "['packed', 1]", "[['packed']]", "[{}]", "{ packed = 1 }", "[]", "nan"],
    "format": ["16", "'e8'", "[16]", "true", "{ q = 16, p = 1 }"],
    "format.q": ["16.0", "true", "'16'", "[16]", "{ q = 16 }", "nan", "0", "-16", "17"],
    "format.betas": [
        "3",
        "true",
        "'345'",
        "[true, 2]",
        "[1.0, 2]",
        "['1']",
        "[[1]]",
        "{ a = 1 }",
        "[]",
        "[nan]",
        "[0]",
    ],
    "front_end": ["1", "true", "'rms'", "[]", "[{}]", "{ lenght = 128 }", "{ format = { q = 16 } }"],
    "front_end.length": ["128.0", "true", "'128'", "[128]", "nan"],
    "front_end.raw_bits": ["16.0", "true", "'16'"],
    "front_end.fraction_bits": ["4.0", "true", "{}"],
    "front_end.row_blocks": ["256.0", "true", "'256'"],
    "front_end.scale": ["1", "true", "['rms']", "'RMS'", "{}"],
    "front_end.candidates": ["1", "true", "['serial']", "'both'"],
    "output": ["1", "true", "'int8'", "[]", "[{}]", "{ bits = 8 }"],
    "output.result": ["8", "true", "['int8']", "'INT8'", "{}", "nan"],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_every_field_of_a_file_has_its_type(field, value, tmp_path):
    good = {"name": "'x'", "rows": "4", "cols": "4"}
    path = tmp_path / "x.toml"
    path.write_text("".join(f"{name} = {text}\n" for name, text in (good | {field: value}).items()))
    with pytest.raises(GossetError, match=r"x\.toml does not describe a design point") as told:
        DesignPoint.load(str(path))
    assert len(str(told.value).splitlines()) == 1


def test_every_field_is_tried():
    fields = {field.split(".")[0] for field in WRONG}
    assert fields == set(DesignPoint.__dataclass_fields__)
    inner = {field.split(".")[1] for field in WRONG if field.startswith("front_end.")}
    assert inner == set(FrontEndRules.__dataclass_fields__) - {"format"}


NO_TOML = {
    "UTF-16": b"\xff\xfe",
    "Latin-1": b"name = '\xe9'",
    "deep": b"x = " + b"[" * 5000,
    "long integer": b"x = " + b"9" * 5000,
    "null": b"\0",
    "twice": b"rows = 1\nrows = 2",
    "long": b"#" * (2 << 20),
}


@pytest.mark.parametrize("kind", NO_TOML)
def test_what_is_no_toml_is_refused(kind, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(NO_TOML[kind])
    with pytest.raises(GossetError, match=r"x\.toml"):
        DesignPoint.load(str(path))


@pytest.mark.parametrize("name", ["a\0.toml", "", "/", ".toml", "a" * 5000 + ".toml"])
def test_paths_that_cannot_be_are_refused(name):
    with pytest.raises(GossetError):
        DesignPoint.load(name)


def test_integers_of_numpy_are_integers():
    plain = DesignPoint(name="x", rows=2, cols=2, front_end=FrontEndRules(length=16))
    rules = FrontEndRules(length=np.int64(16), format=Format(np.int64(16), tuple(np.array([3, 4, 5, 7]))))
    design = DesignPoint(name="x", rows=np.int32(2), cols=np.uint8(2), format=Format(np.int16(16)), front_end=rules)
    assert design == plain and json.dumps(design.as_dict()) == json.dumps(plain.as_dict())
