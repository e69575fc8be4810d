"""Static timing of a netlist: loads, transitions and delays from the library's tables; the critical path.

Wires have neither capacitance nor delay: figures are those before layout.
"""

from dataclasses import dataclass

from golden.errors import ToolError
from sim.silicon.liberty import Arc
from sim.silicon.synthesis import Gate, Netlist, constraints

RISE, FALL = 0, 1


@dataclass(frozen=True)
class Timing:
    """Delays of a netlist.

    Attributes
    ----------
    delays : dict of (int, str) to tuple of float
        From the inputs of gate number i to its output of that name, when that rises and when it falls: the mean over
        its inputs; in the library's unit.
    slews : dict of int to tuple of float
        Transition of each net, rising and falling.
    critical : float
        The longest path, from a flip-flop or input to a flip-flop or output; without setup time, s.
    """

    delays: dict[tuple[int, str], tuple[float, float]]
    slews: dict[int, tuple[float, float]]
    critical: float


def ordered(netlist: Netlist) -> list[int]:
    """Numbers of the gates, each after those that drive it; flip-flops first.

    Raises
    ------
    ToolError
        If gates drive each other in a circle.
    """
    readers: dict[int, list[int]] = {}
    waiting = []
    driven = {net for gate in netlist.gates for name, net in gate.pins.items() if gate.cell.pins[name].output}
    ready = [i for i, gate in enumerate(netlist.gates) if gate.cell.state]
    for i, gate in enumerate(netlist.gates):
        nets = set() if gate.cell.state else {gate.pins[pin] for pin in gate.cell.inputs} & driven
        waiting.append(len(nets))
        for net in nets:
            readers.setdefault(net, []).append(i)
        if not nets and not gate.cell.state:
            ready.append(i)
    for i in ready:  # grows while it is walked through
        for name in netlist.gates[i].cell.outputs:
            for reader in readers.get(netlist.gates[i].pins.get(name, -1), ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
    if len(ready) < len(netlist.gates):
        raise ToolError("The netlist has a loop of gates.")
    return ready


def analyse(netlist: Netlist) -> Timing:
    """Transitions, delays and arrival times, in the order of the gates."""
    library = netlist.library
    driver, load = constraints(library)
    cell = library[driver]
    outside = {net for nets in netlist.outputs.values() for net in nets}
    loads = {net: netlist.loads[net] + (load if net in outside else 0) for net in {*netlist.loads, *outside}}
    [output] = cell.outputs
    start = {
        net: _through(cell.pins[output].arcs, (0.0, 0.0), loads.get(net, 0.0))[1]
        for nets in netlist.inputs.values()
        for net in nets
    }
    slews, arrivals = dict(start), dict.fromkeys(start, (0.0, 0.0))
    # A clock tree would deliver a slope like that of an input with the usual load.
    clock_slew = _through(cell.pins[output].arcs, (0.0, 0.0), load)[1]
    for net in netlist.inputs.get("clk", []):
        slews[net] = clock_slew
    delays = {}
    for i in ordered(netlist):
        gate = netlist.gates[i]
        for name in gate.cell.outputs:
            if name not in gate.pins:
                continue
            net = gate.pins[name]
            arrival, slew, delay = _output(gate, name, loads.get(net, 0.0), arrivals, slews, clock_slew)
            arrivals[net], slews[net], delays[i, name] = arrival, slew, delay
    ends = [gate.pins[pin] for gate in netlist.flops for pin in gate.cell.inputs if pin != gate.cell.clock]
    critical = max((max(arrivals.get(net, (0.0, 0.0))) for net in [*ends, *outside]), default=0.0)
    return Timing(delays, slews, critical * library.time)


def _through(
    arcs: tuple[Arc, ...], slew: tuple[float, float], load: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Delay and transition of a gate with one input."""
    arc = arcs[0]
    pairs = ((arc.rise, arc.rise_slew), (arc.fall, arc.fall_slew))
    at = [(slew[edge], load) for edge in (RISE, FALL)]
    values = [[t.at(*at[edge]) if t else 0.0 for t in pairs[edge]] for edge in (RISE, FALL)]
    return (values[0][0], values[1][0]), (values[0][1], values[1][1])


def _output(
    gate: Gate,
    name: str,
    load: float,
    arrivals: dict[int, tuple[float, float]],
    slews: dict[int, tuple[float, float]],
    clock_slew: tuple[float, float],
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Arrival, transition and mean delay of an output, rising and falling."""
    arrival, slew, total, count = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0, 0]
    flop = bool(gate.cell.state)
    for arc in gate.cell.pins[name].arcs:
        if flop and arc.pin != gate.cell.clock.lstrip("!"):
            continue
        net = gate.pins.get(arc.pin, 0)
        if net < 2 and not flop:
            continue
        for edge, delay, ramp in ((RISE, arc.rise, arc.rise_slew), (FALL, arc.fall, arc.fall_slew)):
            if delay is None:
                continue
            sources = {"positive_unate": (edge,), "negative_unate": (1 - edge,)}.get(arc.sense, (RISE, FALL))
            if flop:
                sources = (RISE,)
            for source in sources:
                before = clock_slew[source] if flop else slews.get(net, (0.0, 0.0))[source]
                value = delay.at(before, load)
                at = 0.0 if flop else arrivals.get(net, (0.0, 0.0))[source]
                arrival[edge] = max(arrival[edge], at + value)
                slew[edge] = max(slew[edge], ramp.at(before, load) if ramp else 0.0)
                total[edge] += value
                count[edge] += 1
    mean = [total[edge] / count[edge] if count[edge] else 0.0 for edge in (RISE, FALL)]
    return (arrival[0], arrival[1]), (slew[0], slew[1]), (mean[0], mean[1])
