import copy

import numpy as np
import pytest
from typer.testing import CliRunner

from golden.errors import GossetError
from golden.rivals.integers import IntGroups
from golden.universal import Rotation
from gosset import app
from sim.digits import Digits
from sim.studies import networks
from sim.studies.explore import explore, objectives
from sim.studies.report import sheets
from sim.studies.study import Study, formats
from tests.sim.studies import networks as measuring

STUDY = """
objectives = ["time", "bits", "network"]
[workload]
source = "digits"
[design]
format = ["E8 q = 4, lean", "E8 q = 16, lean", "int?-g64", "MXFP4"]
rows = [1, 2]
cols = [1, 2]
"""


def study_of(tmp_path, text=STUDY):
    (tmp_path / "s.toml").write_text(text)
    return Study.load(str(tmp_path / "s.toml"))


def told(tmp_path, text):
    with pytest.raises(GossetError) as error:
        study_of(tmp_path, text)
    return str(error.value)


def test_the_table_is_of_formats_that_there_are():
    for workload, table in networks.results().items():
        assert set(table["formats"]) <= set(formats()), workload
        values = [value for ways in table["formats"].values() for value in ways.values()]
        assert all(set(ways) == {"plain", "rotated"} for ways in table["formats"].values())
        assert np.isfinite([table["exact"], *values]).all() and table["command"].endswith(workload) and table["commit"]


@pytest.mark.parametrize("format", ["E8 q = 4, lean", "int8", "int4-g64"])
def test_what_is_measured_is_quantised_by_the_codec(format, monkeypatch):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((24, 64), (10, 24))]
    images = rng.normal(size=(40, 64)).astype(np.float32)
    network = Digits(weights, [np.zeros(24, np.float32), np.zeros(10, np.float32)], images, np.zeros(40, int), images)
    monkeypatch.setattr(measuring, "trained", lambda: network)
    codec = formats()[format].codec if format != "int8" else IntGroups(8, 64)
    quick = measuring.codec_of(format)
    assert (quick(images).values == codec(images).values).all()

    def multiplied(layer, x):
        rotation = Rotation(x.shape[1])
        return codec(rotation.forward(x)).values @ codec(rotation.forward(weights[layer])).values.T

    expected = (network.read(multiplied) == 0).mean() * 100
    assert measuring.digits(quick, True) == pytest.approx(expected)
    assert measuring.digits(None, False) == pytest.approx(100 * network.accuracy(network.exact))


def test_a_network_is_an_axis(tmp_path):
    found = explore(study_of(tmp_path))
    names = [found.space.settings(int(number))["format"] for number in found.ids]
    table = networks.results()["digits"]["formats"]
    assert found.columns["network"].tolist() == [max(table[name].values()) for name in names]
    values = objectives(found.space.study, found.columns)
    for point in values:
        assert not ((values <= point).all(axis=1) & (values < point).any(axis=1)).any(), "nothing is beaten"
    assert (values[:, 2] == -found.columns["network"]).all(), "more images read right are better"
    for sheet in sheets(found):
        ways = table[sheet["settings"]["format"]]
        assert any("rotated" in note for note in sheet["notes"]) == (ways["rotated"] > ways["plain"])
    least = explore(study_of(tmp_path, STUDY.replace("[design]", "[least]\nnetwork = 97\n[design]")))
    assert least.excluded > 0 and (least.columns["network"] >= 97).all()
    without = explore(study_of(tmp_path, STUDY.replace(', "network"', "")))
    assert "network" not in without.columns


def test_formats_that_were_not_measured_have_no_point_and_are_named(tmp_path, monkeypatch):
    table = copy.deepcopy(networks.results())
    del table["digits"]["formats"]["MXFP4"], table["digits"]["formats"]["int4-g64"]
    table["digits"] |= {"figure": "perplexity", "unit": "", "more": False}
    for place in ("sim.studies.networks", "sim.studies.explore", "sim.studies.report", "sim.studies.study"):
        monkeypatch.setattr(f"{place}.results", lambda: table)
    study_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["explore", "s.toml", "-o", "out"], catch_exceptions=False)
    said = " ".join(run.output.split())
    assert "network is the perplexity of digits, 897 images" in said
    assert "It was measured in 6 of 8 formats; no point has int4-g64, MXFP4." in said
    found = explore(study_of(tmp_path))
    assert not {"MXFP4", "int4-g64"} & {found.space.settings(int(number))["format"] for number in found.ids}
    assert (objectives(found.space.study, found.columns)[:, 2] == found.columns["network"]).all(), "less is better"


def test_networks_of_which_nothing_was_measured_are_told_with_the_line(tmp_path):
    said = told(tmp_path, STUDY.replace('"digits"', '"llama-3-8b"'))
    assert "s.toml, line 2: nothing was measured of the network 'llama-3-8b', only of digits" in said
    limit = STUDY.replace('"digits"', '"llama-3-8b"').replace(', "network"', "") + "[most]\nnetwork = 3\n"
    assert "s.toml, line 10: nothing was measured" in told(tmp_path, limit)
