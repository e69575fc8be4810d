import json

import pytest
import yaml
from typer.testing import CliRunner

from golden.errors import GossetError
from gosset import app
from sim.studies.exchange import accelforge
from sim.studies.explore import explore
from sim.studies.report import write
from tests.sim.studies.test_evaluate import study_of

STUDY = """
title = "one {{ point }} of\\n many"
[workload]
source = "layers.toml"
[memory]
name = "lpddr4"
gigabytes_per_second = 2
[design]
format = "E8 q = 16, lean"
rows = 2
cols = 4
dataflow = "FLOW"
"""
LAYER = """
[[layer]]
name = "a.b"
m = 8
n = 32
k = 512
count = 3
"""


class Tagged(yaml.SafeLoader):
    """Reads nodes, whose tags are their kinds."""


Tagged.add_multi_constructor("!", lambda loader, kind, node: {"kind": kind} | loader.construct_mapping(node, deep=True))


def one(tmp_path, flow="os"):
    study = study_of(tmp_path, STUDY.replace("FLOW", flow))
    (tmp_path / "layers.toml").write_text(LAYER)
    report = write(explore(type(study).load(str(tmp_path / "s.toml"))), tmp_path / "out")
    (sheet,) = report["front"]
    return report, sheet


def number(value):
    return float(value)  # YAML 1.1 has no floats without a point


@pytest.mark.parametrize("flow", ["os", "ws"])
def test_what_is_exported_adds_up_to_the_model(tmp_path, flow):
    """Areas as they are, and energies of the actions of the mapping that the RTL has, in the cycles that compute."""
    report, sheet = one(tmp_path, flow)
    text = accelforge(report, sheet)
    assert "{{" not in text and "{%" not in text and "{#" not in text, "templates of Jinja"
    spec = yaml.load(text, Tagged)
    figures, cycles = sheet["figures"], sheet["cycles"]
    count, nodes = {}, {}
    fanout = 1
    for node in spec["arch"]["nodes"]:
        nodes[node["name"]], count[node["name"]] = node, fanout
        for spread in node.get("spatial", []):
            fanout *= spread["fanout"]
    assert fanout == 2 * 4 * 8
    area = sum(count[name] * number(node.get("area", 0)) for name, node in nodes.items())
    assert area * 1e6 == pytest.approx(figures["area_mm2"], rel=1e-5)

    (layer,) = spec["workload"]["einsums"]
    assert spec["workload"]["rank_sizes"] == {"M0": 8, "N0": 32, "K0": 512} and layer["n_instances"] == 3
    assert {a["name"]: a["projection"] for a in layer["tensor_accesses"]} == {
        "input_0": ["m0", "k0"], "weight_0": ["n0", "k0"], "output_0": ["m0", "n0"]
    }  # fmt: skip

    def energy(name, action="read"):
        return number(next(a["energy"] for a in nodes[name]["actions"] if a["name"] == action)) * 1e12

    busy, total = cycles["busy"], sum(cycles.values())
    blocks = busy * 2  # a beat has one for each row
    picojoules = busy * 64 * energy("Lane", "compute")
    picojoules += blocks * (energy("Decoders_input") + energy("Hops_input"))
    period = figures["compute_s"] / total
    leaks = sum(count[name] * number(node.get("leak_power", 0)) for name, node in nodes.items()) * period * 1e12
    if flow == "os":
        picojoules += busy * 4 * (energy("Decoders_weight") + energy("Hops_weight"))
        assert 3 * 8 * 32 * energy("Drain") == pytest.approx(figures["drain_pj"], rel=1e-5)
    else:
        picojoules += 3 * 32 * 512 / 8 * energy("Decoders_weight")
    leaked = figures["leakage_pj"] * busy * period / figures["time_s"]
    assert picojoules + busy * leaks == pytest.approx(figures["compute_pj"] + leaked, rel=1e-5)
    assert nodes["MainMemory"]["bits_per_value"] == {"input": 4.25, "weight": 4.25, "output": 32}
    moved = 3 * (8 * 512 * 4.25 + 32 * 512 * 4.25 + 8 * 32 * 32)
    assert moved * energy("MainMemory") == pytest.approx(figures["dram_pj"], rel=1e-5)
    assert number(nodes["MainMemory"]["actions"][0]["throughput"]) == 16e9


def test_on_the_command_line(tmp_path, monkeypatch):
    report, sheet = one(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["explore", "export", sheet["id"][:4], "-o", "out"], catch_exceptions=False)
    assert done.exit_code == 0 and f"{sheet['id']}.accelforge.yaml" in done.output
    assert (tmp_path / "out" / f"{sheet['id']}.accelforge.yaml").read_text() == accelforge(report, sheet)
    with pytest.raises(GossetError, match="no point of the front has the ID 'zz'"):
        CliRunner().invoke(app, ["explore", "export", "zz", "-o", "out"], catch_exceptions=False)
    path = tmp_path / "out/study.json"
    path.write_text(json.dumps(report | {"technology": "ecp5"}))
    with pytest.raises(GossetError, match="no energies to export: there are none of units in ecp5"):
        CliRunner().invoke(app, ["explore", "export", sheet["id"], "-o", "out"], catch_exceptions=False)
