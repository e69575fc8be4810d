"""A point of a front for other people's tools: an architecture and a workload as accelforge reads them, in YAML.

accelforge has energies of actions and power that leaks. What a unit takes when idle is put with what leaks, and its
actions take what they take more: busy · compute + (cycles − busy) · idle = busy · (compute − idle) + cycles · idle. So
the file has the energies of this project's own model, but for cycles in which nothing is computed: accelforge knows of
no filling and draining, and chooses the mapping itself.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from golden.errors import GossetError
from golden.lattice import DIM
from hw.design import ACC_BITS
from sim.silicon.tables import memories
from sim.studies.units import figures

HEAD = """\
# {id} of "{title}": {format}, {rows} x {cols} cells of {lanes} lanes, {dataflow}
# from gosset at commit {commit}; units {units} of {technology}
# Energies in J, areas in m2, rates in actions per second.
# leak_power is leakage and what idle units take at {mhz:.0f} MHz.
# Read with accelforge: Spec.from_yaml("{id}.accelforge.yaml").map_workload_to_arch()
"""


def accelforge(report: Mapping[str, Any], sheet: Mapping[str, Any]) -> str:
    """A point of a report in accelforge's YAML, of version 1 of its architectures.

    Parameters
    ----------
    report, sheet : mapping
        As `sim.studies.report.find` finds them.

    Raises
    ------
    GossetError
        If there are no energies of the point.
    """
    settings = sheet["settings"]
    row = figures(report["technology"], settings)
    if row is None:
        raise GossetError(
            f"{sheet['id']} has no energies to export: there are none of units in {report['technology']}."
        )
    row["period_s"] = sheet["figures"]["compute_s"] / sum(sheet["cycles"].values())
    head = HEAD.format(
        id=sheet["id"],
        title=re.sub(r"[\s{}]+", " ", report["title"]),  # braces would be a template's
        units=", ".join(sheet["units"]),
        mhz=1e-6 / row["period_s"],
        lanes=DIM,
        **{name: settings[name] for name in ("format", "rows", "cols", "dataflow")},
        **{name: report[name] for name in ("commit", "technology")},
    )
    return head + "\n".join(["arch:", "  nodes:", *_nodes(report, sheet, row), *_workload(report, settings, row), ""])


def _nodes(report: Mapping[str, Any], sheet: Mapping[str, Any], row: Mapping[str, float]) -> list[str]:
    settings, areas = sheet["settings"], sheet["figures"]
    rows, cols, stationary = settings["rows"], settings["cols"], settings["dataflow"] == "ws"
    clock, bits, share = 1 / row["period_s"], row["block_bits"], report["fit"]["share"]
    known, dram = memories(), memories()[report["memory"]]["value"]
    speed = settings["gigabytes_per_second"] * 8e9 or "inf"

    def more(part: str) -> float:
        return row[f"{part}_compute"] - row[f"{part}_idle"]

    def unit(part: str, count: float) -> dict[str, Any]:
        power = row[f"{part}_leakage"] * 1e-9 + row[f"{part}_idle"] * 1e-12 * clock
        return {"area": share * count * row[f"{part}_area"] * 1e-6 * 1e-6, "leak_power": count * power}

    def toll(name: str, tensor: str, block: Mapping[str, Any], picojoules: float, per: float = DIM) -> list[str]:
        read = {"name": "read", "energy": picojoules * 1e-12, "throughput": "inf"}
        way = "up" if tensor == "output" else "down"
        read["values_per_action"] = {tensor: per}
        return _node("Toll", name, direction=way, tensors={"keep": tensor}, actions=[read], **block)

    def memory(
        name: str, keep: str, size: Any, area: float, read: float, write: float, speed: Any = "inf"
    ) -> list[str]:
        energies = {"read": read, "write": write}
        actions = [{"name": n, "energy": e * 1e-12, "throughput": speed} for n, e in energies.items()]
        kept = {tensor: row["block_bits"] / DIM for tensor in ("input", "weight")} | {"output": ACC_BITS}
        return _node(
            "Memory",
            name,
            size=size,
            area=area,
            leak_power=0,
            tensors={"keep": keep},
            bits_per_value=kept,
            actions=actions,
        )

    sram = known["sram_read"]["value"], known["sram_write"]["value"]
    depth_w = 0 if stationary else settings["w_depth"]
    # Half of each bank, as the other one is filled meanwhile.
    held_x, held_w = settings["x_depth"] * rows * bits, depth_w * cols * bits
    sums = areas["sram_um2"] * 1e-12
    nodes = memory("MainMemory", "All", "inf", 0, dram, dram, speed)
    nodes += memory("Activations", "input", held_x, sums, *sram)
    if not stationary:
        nodes += memory("Weights", "weight", held_w, 0, *sram)
    rest = areas["control_um2"] - (share - 1) * areas["array_um2"]
    nodes += toll("Control", "output", {"area": rest * 1e-12, "leak_power": 0}, 0)
    if stationary:
        nodes += memory("Accumulators", "output", settings["panel_rows"] * cols * ACC_BITS, 0, 0, 0)
    waits_x, waits_w = (rows * (rows + 1) / 2, 0) if stationary else (rows * (rows - 1) / 2, cols * (cols - 1) / 2)
    loaded = row["cell_stored"] if stationary else more("edge")
    for tensor, count, energy in (("input", rows, more("edge")), ("weight", cols, loaded)):
        if row["edge_area"]:
            block = unit("edge", count)
            if stationary and tensor == "weight":  # idle, they are not clocked
                block["leak_power"] = count * row["edge_leakage"] * 1e-9
            nodes += toll(f"Decoders_{tensor}", tensor, block, energy)
    for tensor, part, count, edges in (("input", "hop_x", waits_x, rows), ("weight", "hop_w", waits_w, cols)):
        if count:
            nodes += toll(f"Hops_{tensor}", tensor, unit(part, count), more(part) * count / edges)
    if not stationary:
        nodes += toll("Drain", "output", {"area": 0, "leak_power": 0}, row["cell_drain"] * (rows + 1) / 2, 1)
    across = "output" if stationary else "weight"
    nodes += _node("Container", "Cell", spatial=[_fanout("rows", rows, across), _fanout("cols", cols, "input")])
    if stationary:
        nodes += memory("Block", "weight", bits, 0, 0, 0)
    else:
        nodes += memory("Sum", "output", ACC_BITS, 0, 0, 0)
    cell, scale = unit("cell", 1 / DIM), unit("column", 1 / DIM)
    work = {"name": "compute", "energy": (more("cell") + more("column")) / DIM * 1e-12, "throughput": clock}
    both = {name: cell[name] + scale[name] for name in cell}
    # In a container, as areas of what has a fan-out itself are counted once.
    nodes += _node("Container", "Lanes", spatial=[_fanout("lanes", DIM, "output")])
    return nodes + _node("Compute", "Lane", actions=[work], **both)


def _fanout(name: str, count: int, reuse: str) -> dict[str, Any]:
    return {"name": name, "fanout": count, "reuse": reuse}


def _workload(report: Mapping[str, Any], settings: Mapping[str, Any], row: Mapping[str, float]) -> list[str]:
    sizes = {
        f"{rank}{number}": size
        for number, (_, *shape, _) in enumerate(report["layers"])
        for rank, size in zip("MNK", shape, strict=True)
    }
    lines, entry = ["workload:", f"  rank_sizes: {_flow(sizes)}", "  einsums:"], math.ceil(row["block_bits"] / DIM)
    for number, (name, *_, count) in enumerate(report["layers"]):
        layer = re.sub(r"\W", "_", name) + f"_{number}"
        tensors = {"input": "mk", "weight": "nk", "output": "mn"}
        accesses = [
            {"name": f"{tensor}_{number}", "projection": [f"{rank}{number}" for rank in of]}
            | {"bits_per_value": ACC_BITS if tensor == "output" else entry}
            | ({"output": True} if tensor == "output" else {})
            for tensor, of in tensors.items()
        ]
        lines.append(f"  - name: {layer}")
        lines.append(f"    n_instances: {count}")
        lines.append(f"    tensor_accesses: {_flow(accesses)}")
        lines.append(f"    renames: {_flow({tensor: f'{tensor}_{number}' for tensor in tensors})}")
    return lines


def _node(kind: str, name: str, **fields: Any) -> list[str]:
    return [f"  - !{kind}", f"    name: {name}", *(f"    {key}: {_flow(value)}" for key, value in fields.items())]


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(some)}" for key, some in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return f"{value:.6e}"
    return str(value)
