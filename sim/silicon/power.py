"""Energy of a netlist from what its nets did: load, internal and clock energy.

A net's transition costs ½·C·V² for the inputs on it. A gate's own energy per transition is the library's, at the
transition and load that timing found: as the mean over the inputs that may have caused it and, for energies that hold
in certain states only, over the states that the nets were in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from sim.silicon.functions import evaluate
from sim.silicon.gates import Activity
from sim.silicon.liberty import Arc, Table
from sim.silicon.synthesis import Gate, Netlist
from sim.silicon.timing import FALL, RISE, Timing

States = Mapping[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Energy:
    """Energy per cycle, J.

    Attributes
    ----------
    load : float
        ½·C·V² of all transitions but the clock's.
    internal : float
        Of the gates, but for what the clock costs.
    clock : float
        The clock's load, and what its edges cost in flip-flops.
    """

    load: float
    internal: float
    clock: float

    @property
    def total(self) -> float:
        """All three."""
        return self.load + self.internal + self.clock

    def as_dict(self) -> dict[str, float]:
        """As a report holds it."""
        return asdict(self)


def energy(netlist: Netlist, timing: Timing, activity: Activity) -> Energy:
    """Energy per cycle of what the nets did.

    An internal energy is in units of capacitance times a square of volts, whatever the supply.
    """
    library = netlist.library
    clock = netlist.inputs.get("clk", [-1])[0]
    moves = activity.rises + activity.falls
    load = sum(value * moves[net] for net, value in netlist.loads.items() if net > 1 and net != clock)
    internal = clock_internal = 0.0
    for gate in netlist.gates:
        states = {name: activity.settled[:, net] for name, net in gate.pins.items()}
        for name, net in gate.pins.items():
            pin = gate.cell.pins[name]
            if not pin.energies or net < 2:
                continue
            if net == clock:
                clock_internal += _clock_cycle(gate, pin.energies, states, timing.slews[clock])
                continue
            high = float(activity.high[net])
            if pin.output:
                rise, fall = _transition(gate, pin.energies, states, high, timing, netlist.loads[net])
            else:
                rise, fall = _weighted(pin.energies, gate, states, high, timing.slews.get(net, (0.0, 0.0)), 0.0)
            internal += rise * activity.rises[net] + fall * activity.falls[net]
    supply = library.voltage**2
    return Energy(
        float(0.5 * load * supply * library.capacitance),
        float(internal * library.capacitance),
        float((netlist.loads[clock] * supply + clock_internal) * library.capacitance),
    )


def _transition(
    gate: Gate, arcs: Iterable[Arc], states: States, high: float, timing: Timing, load: float
) -> tuple[float, float]:
    """Energy of an output that rises and of one that falls: the mean over the inputs that may have caused it."""
    causes: dict[str, list[Arc]] = {}
    for arc in arcs:
        related = arc.pin.strip("!")
        if gate.pins.get(related, 0) > 1 and (not gate.cell.state or related == gate.cell.clock):
            causes.setdefault(related, []).append(arc)
    pairs = []
    for pin, group in causes.items():
        rise, fall = timing.slews.get(gate.pins[pin], (0.0, 0.0))
        pairs.append(_weighted(group, gate, states, high, ((rise + fall) / 2,) * 2, load))
    count = max(1, len(pairs))
    return sum(pair[RISE] for pair in pairs) / count, sum(pair[FALL] for pair in pairs) / count


def _weighted(
    arcs: Iterable[Arc], gate: Gate, states: States, high: float, slew: tuple[float, float], load: float
) -> tuple[float, float]:
    """The mean of energies over the states that they hold in; one without a state is for the states that are left."""
    total, left, rest = [0.0, 0.0], 1.0, None
    for arc in arcs:
        if not arc.when:
            rest = arc
            continue
        share = _share(arc.when, gate, states, high)
        left -= share
        for edge, table in ((RISE, arc.rise), (FALL, arc.fall)):
            total[edge] += share * _at(table, slew[edge], load)
    if rest and left > 0:
        for edge, table in ((RISE, rest.rise), (FALL, rest.fall)):
            total[edge] += left * _at(table, slew[edge], load)
    return total[RISE], total[FALL]


def _share(when: str, gate: Gate, states: States, high: float) -> float:
    """How often the state is this one, when the clock is high with a probability of `high`."""
    if not gate.cell.state:
        return float(np.mean(evaluate(when, states)))
    clock = gate.cell.clock
    length = len(states[clock])
    low_high = [np.mean(evaluate(when, {**states, clock: np.full(length, level)})) for level in (False, True)]
    return float((1 - high) * low_high[0] + high * low_high[1])


def _clock_cycle(gate: Gate, arcs: tuple[Arc, ...], states: States, slew: tuple[float, float]) -> float:
    """Energy of the clock's two edges in a flip-flop: it rises on the state before the edge, and falls on the next."""
    after = {name: np.roll(value, -1) if gate.cell.pins[name].output else value for name, value in states.items()}
    rise, _ = _weighted(arcs, gate, states, 0.0, slew, 0.0)
    _, fall = _weighted(arcs, gate, after, 1.0, slew, 0.0)
    return rise + fall


def _at(table: Table | None, slew: float, load: float) -> float:
    return table.at(slew, load) if table else 0.0
