import pytest

from golden.errors import GossetError
from sim.compare import machine
from sim.compare.machine import Power, describe


def test_the_machine_is_described():
    found = describe()
    assert found["processors"] >= 1
    assert "portable" in found["paths"]
    assert all(size > 0 for size in found["caches"].values())


def test_power_that_nobody_counts_is_assumed_and_has_a_band(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    power = Power.find()
    assert power.kind == "assumed"
    value, low, high = power.joules(lambda: None, 2.0, 3)
    assert (value, low, high) == pytest.approx((36.0, 22.5, 60.0))
    assert "no counter" in power.source


@pytest.mark.parametrize("watts", [0.0, -1.0, float("nan"), float("inf")])
def test_power_must_be_a_number_of_watts(watts):
    with pytest.raises(GossetError, match="more than 0 W"):
        Power.find(watts)


def test_given_power_is_assumed_and_named():
    power = Power.find(12.5)
    assert power.kind == "assumed"
    assert "12.5 W" in power.source
    assert power.joules(lambda: None, 2.0, 1) == (25.0, 25.0, 25.0)


def package(folder, name, number=0):
    place = folder / f"intel-rapl:{number}"
    place.mkdir(parents=True)
    (place / "name").write_text(name)
    (place / "energy_uj").write_text("1000")
    return place / "energy_uj"


def test_counters_of_packages_are_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    monkeypatch.setattr(machine, "MEASURED_S", 0.02)
    first, second = package(tmp_path, "package-0\n"), package(tmp_path, "package-1\n", 1)
    package(tmp_path, "psys", 2)  # counts the packages once more
    power = Power.find()
    assert power.kind == "measured"
    assert power.counters == (first, second)

    def call():
        for counter in (first, second):
            counter.write_text(str(int(counter.read_text()) + 500))

    assert power.joules(call, 0.002, 1)[0] == pytest.approx(1e-3)


def test_a_counter_that_began_anew_is_read_again(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    monkeypatch.setattr(machine, "MEASURED_S", 0.004)
    counter = package(tmp_path, "package-0\n")
    values = iter([5, 10, 20, 30])
    power = Power.find()
    assert power.joules(lambda: counter.write_text(str(next(values))), 0.002, 1)[0] == pytest.approx(10e-6)

    def back():
        counter.write_text(str(int(counter.read_text()) - 1))

    with pytest.raises(GossetError, match="does not count up"):
        power.joules(back, 0.002, 1)
