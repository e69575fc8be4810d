"""Where the cycles of one product go, as a report and a picture."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from golden.errors import GossetError
from golden.files import replacing, writable, write_text
from hw.design import DesignPoint
from sim.models.bus import bus_cycles, laid_out
from sim.models.cycles import Memory, Span, cycles, timeline
from sim.models.schedule import Machine, schedule
from sim.provenance import provenance

SHOWN = 12
"""Jobs that the picture shows, from the first on."""


def breakdown(design: DesignPoint, m: int, n: int, k: int, kind: str, memory: Memory, output: Path) -> dict[str, Any]:
    """The cycles of a product by cause.

    Parameters
    ----------
    design : DesignPoint
    m, n, k : int
    kind : "packed", "int8" or "raw"
        Activations.
    memory : Memory
    output : Path
        Folder for `report.json`, `timeline.png` and `timeline.trace.json`.

    Returns
    -------
    The report: `cycles`, `counters`, `utilisation` (of the peak, which is half as high for int8), `jobs`, and
    what was asked.

    Raises
    ------
    GossetError
        If a number is out of range, the design does not take such activations, or the output cannot be written.
    """
    takes = [*design.activations, *(["raw"] if design.front_end else [])]
    if kind not in takes:
        raise GossetError(f"{design.name} takes {' and '.join(takes)} activations, but not {kind} ones.")
    for name in ("report.json", "timeline.png", "timeline.trace.json"):
        writable(output / name)
    machine = Machine.of(design)
    int8, raw = kind == "int8", kind == "raw"
    if raw and design.front_end:
        design.front_end.check_columns(k)
    if raw and memory.x_period > 1:
        raise GossetError("Raw rows come a block per cycle in the cycle model: leave their period out.")
    if raw and int(schedule(machine, m, n, k, int8, raw).chunks) > 1:
        raise GossetError(
            f"Raw rows cannot be cut, but {k} entries of one are more than a bank of {design.name} holds."
        )
    counted = cycles(machine, m, n, k, int8=int8, raw=raw, memory=memory)
    spans = timeline(machine, m, n, k, int8=int8, raw=raw, memory=memory, most=SHOWN)
    plan = schedule(machine, m, n, k, int8, raw)
    total = int(counted.cycles)
    macs = m * n * k
    report = {
        "cycles": total,
        "counters": {name: int(count) for name, count in counted.counters().items()},
        "macs": macs,
        "macs_per_cycle": macs / total,
        "utilisation": macs / total / design.macs_per_cycle * (2 if int8 else 1),
        "jobs": int(plan.panels * plan.groups * plan.chunks),
        "shape": [m, k, n],
        "activations": kind,
        "memory": {name: int(getattr(memory, name)) for name in Memory.__dataclass_fields__},
        "design": design.as_dict(),
        **provenance(),
    }
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    draw(report, spans, output / "timeline.png")
    write_text(output / "timeline.trace.json", json.dumps(trace(design.name, spans)) + "\n")
    return report


def bus_breakdown(
    design: DesignPoint, m: int, n: int, k: int, kind: str, memory_latency: int, output: Path
) -> dict[str, Any]:
    """The cycles of a product from memory to memory, through the memory port.

    Parameters
    ----------
    design : DesignPoint
    m, n, k : int
    kind : "packed" or "int8"
        Activations.
    memory_latency : int
        As `sim.models.bus.bus_cycles` takes it.
    output : Path
        Folder for `report.json`.

    Returns
    -------
    The report: `cycles`, `counters`, `utilisation` and `jobs` as those of `breakdown`; `beats`, those that were read;
    `busy`, the share of cycles in which the array works; and `allowed`, what it would be if a beat were read in every
    cycle.

    Raises
    ------
    GossetError
        If a number is out of range, the design does not take such activations, or the output cannot be written.
    """
    if kind not in design.activations:
        raise GossetError(f"{design.name} takes {' and '.join(design.activations)} activations, but not {kind} ones.")
    writable(output / "report.json")
    jobs = laid_out(design, m, n, k, int8=kind == "int8")
    counted = bus_cycles(design, jobs, memory_latency)
    macs = m * n * k
    report = {
        "cycles": counted.cycles,
        "counters": counted.counters,
        "beats": counted.beats,
        "busy": counted.busy,
        "allowed": min(1.0, counted.counters["busy"] / counted.beats),
        "macs": macs,
        "macs_per_cycle": macs / counted.cycles,
        "utilisation": macs / counted.cycles / design.macs_per_cycle * (2 if kind == "int8" else 1),
        "jobs": len(jobs),
        "shape": [m, k, n],
        "activations": kind,
        "latency": memory_latency,
        "design": design.as_dict(),
        **provenance(),
    }
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    return report


LANES = (("activations load", "x_start", "x_end"), ("weights load", "w_start", "w_end"), ("array", "start", "end"))
"""What a job is in, and the fields of a span in which it is."""


def trace(name: str, spans: list[Span]) -> dict[str, Any]:
    """The jobs as a Chrome trace, which Perfetto shows; a cycle is a microsecond there."""
    events: list[dict[str, Any]] = [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": name}}]
    for row, (lane, first, last) in enumerate(LANES):
        events.append({"ph": "M", "pid": 0, "tid": row, "name": "thread_name", "args": {"name": lane}})
        for number, span in enumerate(spans):
            start, end = getattr(span, first), getattr(span, last) + 1
            events.append({"ph": "X", "pid": 0, "tid": row, "name": f"job {number}", "ts": start, "dur": end - start})
    return {"traceEvents": events, "otherData": {"unit": "a microsecond is a cycle"}}


def draw(report: dict[str, Any], spans: list[Span], path: Path) -> None:
    """Draws the first jobs of a product over time, and where all of its cycles went, as a PNG file."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    for row, (_, first, last) in enumerate(LANES):
        for number, span in enumerate(spans):
            start, end = getattr(span, first), getattr(span, last) + 1
            left.barh(row, end - start, left=start, color=f"C{number % 10}", edgecolor="white", height=0.7)
            left.text((start + end) / 2, row, str(number), ha="center", va="center", color="white", clip_on=True)
    left.set_yticks(range(len(LANES)), [name for name, *_ in LANES])
    left.invert_yaxis()
    m, k, n = report["shape"]
    jobs = report["jobs"]
    shown = f", the first {len(spans)} of {jobs} jobs" if jobs > len(spans) else f", {jobs} jobs"
    left.set(xlabel="cycle", title=f"{m} × {k} × {n} on {report['design']['name']}{shown}")
    counters = report["counters"]
    shares = [100 * count / report["cycles"] for count in counters.values()]
    bars = right.barh(list(counters), shares, color="grey")
    right.bar_label(bars, [f"{share:.1f} %" for share in shares], padding=3)
    right.invert_yaxis()
    right.set(xlabel="of the cycles, %", xlim=(0, 125), title=f"{report['cycles']:,} cycles")
    with replacing(path) as beside:
        figure.savefig(beside, dpi=110)
