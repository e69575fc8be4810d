import pytest

from golden.errors import GossetError
from sim.compare.equal import comparisons
from sim.compare.records import Figure, Record, between


def record(way, family, bits, seconds, db, *, ours=False, m=1, platform="CPU", **others):
    figures = {
        "time_s": Figure(seconds, "measured"),
        "sqnr_db": Figure(db, "measured"),
        "bytes": Figure(1e6, "modelled"),
    }
    return Record("net", "layer", m, 64, 128, platform, way, family, bits, figures | others, ours)


FAMILY = [record("a 2", "a", 2.0, 1.0, 10.0), record("a 4", "a", 4.0, 3.0, 22.0), record("a 3", "a", 3.0, 1.5, 16.0)]


@pytest.mark.parametrize(
    ("key", "at", "seconds", "bits"),
    [("bits", 2.5, 1.25, 2.5), ("sqnr_db", 19.0, 2.25, 3.5), ("bits", 2.0, 1.0, 2.0), ("bits", 4.0, 3.0, 4.0)],
)
def test_a_family_is_interpolated_between_the_two_next_to_it(key, at, seconds, bits):
    found = between(FAMILY, key, at)
    assert found["time_s"] == pytest.approx(seconds)
    assert found["bits"] == pytest.approx(bits)


@pytest.mark.parametrize(("key", "at"), [("bits", 1.9), ("bits", 4.1), ("sqnr_db", 30.0), ("area_mm2", 1.0)])
def test_a_family_reaches_no_further_than_its_rates(key, at):
    assert between(FAMILY, key, at) is None


def test_of_ways_with_the_same_rate_the_fastest_counts():
    assert between([*FAMILY, record("slow", "a", 3.0, 9.0, 16.0)], "bits", 3.5)["time_s"] == pytest.approx(2.25)


def test_figures_that_one_side_lacks_are_not_interpolated():
    one = record("a", "a", 2.0, 1.0, 10.0, area_mm2=Figure(1.0, "modelled"))
    assert "area_mm2" not in between([one, FAMILY[1]], "bits", 3.0)


def test_ratios_are_ours_over_theirs_whichever_is_interpolated():
    ours = [record("E8 low", "E8", 2.0, 2.0, 10.0, ours=True), record("E8 high", "E8", 4.0, 4.0, 20.0, ours=True)]
    theirs = [record("int low", "int", 2.5, 1.0, 12.0), record("int high", "int", 4.5, 2.0, 22.0)]
    found = comparisons([*ours, *theirs])
    by = {(pair["ours_name"], pair["theirs_name"], pair["equal"]): pair for pair in found}
    assert by["E8", "int low", "bits"]["ratio"]["time_s"] == pytest.approx(2.5 / 1.0)
    assert by["E8", "int low", "SQNR"]["ratio"] == pytest.approx({"bits": 2.4 / 2.5, "time_s": 2.4})
    assert by["E8 high", "int", "SQNR"]["ratio"] == pytest.approx({"bits": 4 / 4.1, "time_s": 4 / 1.8})
    # What lies beyond the rates of the other is not made up.
    assert ("E8", "int high", "bits") not in by
    assert ("E8 low", "int", "bits") not in by


def test_only_what_computes_the_same_in_the_same_place_is_compared():
    ours = [record("E8", "E8", bits, 1.0, db, ours=True) for bits, db in ((2.0, 10.0), (4.0, 20.0))]
    assert not comparisons([*ours, record("int", "", 3.0, 1.0, 15.0, m=16)])
    assert not comparisons([*ours, record("int", "", 3.0, 1.0, 15.0, platform="GPU")])
    assert len(comparisons([*ours, record("int", "", 3.0, 1.0, 15.0)])) == 2


def test_records_survive_json():
    one = record("a", "a", 2.0, 1.0, 10.0, energy_j=Figure(1e-3, "assumed", 5e-4, 2e-3))
    assert Record.from_dict(one.as_dict()) == one


@pytest.mark.parametrize("figure", [("time_s", "guessed"), ("speed", "measured")])
def test_a_figure_of_no_known_kind_or_name_is_refused(figure):
    name, kind = figure
    values = record("a", "a", 2.0, 1.0, 10.0).as_dict()
    values["figures"][name] = {"value": 1.0, "kind": kind}
    with pytest.raises(GossetError, match="which there is not"):
        Record.from_dict(values)
