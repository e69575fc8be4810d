"""The energy model: events of the exact cycle model times the energy of each, from a table of `gosset silicon`.

    array   = busy · (R·C·cell + (R + C)·(decoder + norm) + hops·hop)          computing
    waiting = (cycles − busy) · the same with the units' idle energies
    drain   = results that move down by one cell · (cell's drain − cell's idle)
    sram    = bits written · write + bits read · read
    dram    = bits fetched or stored · the memory's
    leakage = cycles · period · leakage of all units

A weight-stationary array decodes weights only when they are loaded, and moves no results in cells of their own. Hops
are the registers that bring blocks to their row and column in time. A lean design has no norms.
"""

from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.errors import GossetError
from golden.format import Format
from hw.design import ACC_BITS, DesignPoint
from sim.models.cycles import Memory, cycles
from sim.models.schedule import Integers, Machine, bounded, schedule
from sim.silicon.tables import load, memories, technologies

BAND = {"array": (1.0, 1.5), "sram": (0.5, 2.0), "dram": (0.5, 2.0)}
"""What a part may really be, as factors of what the model says. Of the array because wires and clock tree, which come
with layout, are missing and would add 40 to 50 %; of memories because published figures differ by as much."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Energies:
    """Energy of products by part, pJ; arrays of one shape.

    Attributes
    ----------
    compute : cells, decoders, norms and hops in the cycles in which a beat goes in.
    waiting : the same in all other cycles.
    drain : results on their way out.
    sram, dram : memories on the chip and off it.
    leakage : of the array's units.
    """

    compute: Floats
    waiting: Floats
    drain: Floats
    sram: Floats
    dram: Floats
    leakage: Floats

    @property
    def total(self) -> Floats:
        """All parts."""
        return sum((getattr(self, field.name) for field in fields(self)), np.zeros(()))

    def band(self) -> tuple[Floats, Floats]:
        """The least and the most that the total may really be."""
        array = self.compute + self.waiting + self.drain + self.leakage
        low, high = (
            array * BAND["array"][i] + self.sram * BAND["sram"][i] + self.dram * BAND["dram"][i] for i in (0, 1)
        )
        return low, high


@dataclass(frozen=True)
class Rows:
    """The rows of a table that a design uses: `edge` has the decoder, and the norm if it is deep."""

    cell: dict[str, Any]
    edge: tuple[dict[str, Any], ...]
    hop: dict[str, Any]

    @property
    def period_ps(self) -> float:
        """The clock's, which the slowest unit sets."""
        return max(row["period_ps"] for row in (self.cell, *self.edge, self.hop))


def names(design: DesignPoint) -> dict[str, str]:
    """The units that a design is made of.

    Raises
    ------
    GossetError
        If there are no figures of its kind.
    """
    if design.int8 or design.dsp_cols or design.format.betas != Format().betas:
        raise GossetError("There are energies of packed activations, cells without DSPs and β 3, 4, 5, 7 only.")
    kind, lean = "cell" if design.dataflow == "os" else "stationary_cell", design.pipeline == "lean"
    parts = {"cell": kind, "decoder": "decoder"} | ({} if lean else {"norm": "norm"}) | {"hop": "hop"}
    return {part: f"{unit}_q{design.format.q}{'_lean' if lean else ''}" for part, unit in parts.items()}


def rows(design: DesignPoint, table: dict[str, Any]) -> Rows:
    """What the table says of a design's units.

    Raises
    ------
    GossetError
        If it lacks one.
    """
    found = names(design)
    if missing := [name for name in found.values() if name not in table["units"]]:
        raise GossetError(f"The table has no unit {missing[0]}: measure it with gosset silicon, or take another table.")
    units = {part: table["units"][name] for part, name in found.items()}
    return Rows(units.pop("cell"), hop=units.pop("hop"), edge=tuple(units.values()))


def estimate(
    design: DesignPoint,
    table: dict[str, Any],
    m: Integers,
    n: Integers,
    k: Integers,
    *,
    dram: str = "hbm2",
    memory: Memory | None = None,
) -> Energies:
    """Energy of products of packed `(m, k)` activations and `(n, k)` weights, which broadcast.

    Parameters
    ----------
    design : DesignPoint
    table : dict
        Of `gosset silicon`.
    m, n, k : integers or arrays
    dram : str
        The memory that operands come from and accumulators go to, one of `sim.silicon.tables.memories`.
    memory : Memory, optional
        How fast it is; as fast as can be if not given.

    Raises
    ------
    GossetError
        If there are no figures of the design or of the memory.
    """
    known = memories()
    if design.keep_rows:
        raise GossetError("The energy model knows nothing of rows that are kept on chip: leave keep_rows out.")
    if dram not in known or dram.startswith("sram"):
        raise GossetError(f"A memory is {', '.join(name for name in known if name[:4] != 'sram')}, not {dram!r}.")
    unit, machine = rows(design, table), Machine.of(design)
    m, n, k = np.broadcast_arrays(*(bounded(size, name, 1) for name, size in (("M", m), ("N", n), ("K", k))))
    count = cycles(machine, m, n, k, memory=memory)
    plan = schedule(machine, m, n, k, False)
    height, width, stationary = design.rows, design.cols, design.dataflow == "ws"
    cells, jobs = height * width, plan.panels * plan.chunks

    # Blocks: of weights that are read from outside, once per job; of activations, and of both in the array's beats.
    w_blocks = plan.panels * plan.steps * plan.tiles * width * (height if stationary else 1)
    x_blocks = plan.panels * plan.panel * plan.steps * (height if stationary else 1)
    hops = height * (height + 1) // 2 if stationary else (height * (height - 1) + width * (width - 1)) // 2
    edges = height if stationary else height + width

    def array(event: str) -> float:
        def of(row: dict[str, Any]) -> float:
            return float(row["events"][event]["total"])

        return cells * of(unit.cell) + edges * sum(map(of, unit.edge)) + hops * of(unit.hop)

    compute = count.busy * array("compute")
    if stationary:  # weights pass a decoder and a norm when they are loaded
        decoded = (row["events"] for row in unit.edge)
        compute = compute + w_blocks * sum(event["compute"]["total"] - event["idle"]["total"] for event in decoded)
    moves = 0 if stationary else jobs * plan.tiles * -(-plan.panel // height) * width * height * (height + 1) // 2
    drain = moves * (0 if stationary else unit.cell["events"]["drain"]["total"] - unit.cell["events"]["idle"]["total"])
    bits = design.format.label_bits + design.format.beta_bits
    read = count.busy * (height if stationary else height + width) * bits
    outside = (w_blocks + x_blocks) * bits
    out_bits = np.asarray(m) * n * plan.chunks * ACC_BITS
    sram = (outside if not stationary else x_blocks * bits) * known["sram_write"]["value"]
    sram = sram + read * known["sram_read"]["value"]
    edge_leakage = sum(row["leakage_nw"] for row in unit.edge)
    leakage = cells * unit.cell["leakage_nw"] + (height + width) * edge_leakage
    parts = (
        compute,
        (count.cycles - count.busy) * array("idle"),
        drain,
        sram,
        (outside + out_bits) * known[dram]["value"],
        count.cycles * unit.period_ps * (leakage + hops * unit.hop["leakage_nw"]) * 1e-9,  # ps · nW is 1e-21 J
    )
    return Energies(*(np.asarray(part, dtype=np.float64) for part in np.broadcast_arrays(*parts)))


def shipped(design: DesignPoint, m: int, n: int, k: int, *, memory: Memory | None = None) -> dict[str, Energies]:
    """Energies of a product by technology: by the tables that are shipped and have figures of the design."""
    found = {}
    for technology in technologies():
        with suppress(GossetError):
            found[technology] = estimate(design, load(technology), m, n, k, memory=memory)
    return found


ORIGIN = {
    "compute": "simulated gates",
    "waiting": "simulated gates",
    "drain": "simulated gates",
    "sram": "literature",
    "dram": "literature",
    "leakage": "library",
}
"""Where the figures of each part are from."""


def explain(design: DesignPoint, table: dict[str, Any], dram: str) -> str:
    """The formula, and every row that an estimate of a design uses, with its source."""
    about, formula = table["about"], (__doc__ or "").split("\n\n")[1]
    lines = [formula, ""]
    lines.append(
        f"units: {about['library']}, {about['voltage_v']:g} V, {about['temperature_c']:g} °C, {about['date']},"
    )
    lines.append(
        f"  commit {about['commit']}, {about['yosys']}, {about['icarus']}, operands {', '.join(about['data'])};"
    )
    lines.append(f"  {about['boundary']}")
    for part, name in names(design).items():
        row = table["units"][name]
        events = ", ".join(f"{event} {figures['total']:g} pJ" for event, figures in row["events"].items())
        lines.append(f"  {part} = {name}: {events}, leakage {row['leakage_nw']:g} nW")
    lines.append(f"  period = {rows(design, table).period_ps:g} ps")
    for name in ("sram_read", "sram_write", dram):
        row = memories()[name]
        said = f"{row['technology']}, {row['conditions']}; {row['source']}; confidence {row['confidence']}"
        lines.append(f"  {name} = {row['value']:g} {row['unit']} ({said})")
    bands = ", ".join(f"{part} {low:g} to {high:g} times" for part, (low, high) in BAND.items())
    lines.append(f"error band: {bands}")
    return "\n".join(lines)
