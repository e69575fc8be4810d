import json

import pytest

from hw.design import PRESETS
from sim.models.breakdown import LANES, breakdown
from sim.models.cycles import Memory


@pytest.mark.parametrize("name", ["small", "small_ws"])
@pytest.mark.parametrize("period", [1, 40])
def test_the_trace_has_the_cycles_of_the_report(tmp_path, name, period):
    report = breakdown(PRESETS[name], 20, 24, 320, "packed", Memory(w_period=period), tmp_path)
    read = json.loads((tmp_path / "timeline.trace.json").read_text())
    events = [event for event in read["traceEvents"] if event["ph"] == "X"]
    named = {event["tid"]: event["args"]["name"] for event in read["traceEvents"] if event["name"] == "thread_name"}
    assert list(named.values()) == [lane for lane, *_ in LANES]
    assert len(events) == len(LANES) * report["jobs"], "each job is somewhere in every lane"
    computing = [event["dur"] for event in events if named[event["tid"]] == "array"]
    counters = report["counters"]
    assert bool(counters["w_late"]) == (period > 1)
    if period > 1:
        # A beat that waits for weights is inside its job's time, or before it.
        assert counters["busy"] < sum(computing) <= report["cycles"] - counters["idle"]
    else:
        assert sum(computing) == counters["busy"]
    assert max(event["ts"] + event["dur"] for event in events) <= report["cycles"]
