"""Liberty files: what synthesis, timing and power need of a standard-cell library.

Only the cells that a netlist uses are parsed: a library of 50 MB opens in a second.
"""

import lzma
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from golden.errors import GossetError
from sim.silicon.functions import same
from sim.silicon.groups import Group, numbers, parse

_CELL = re.compile(r'^[ \t]*cell\s*\(\s*"?([^")\s]+)"?\s*\)\s*\{', re.MULTILINE)
_POWER = re.compile(r"(?:internal|leakage)_power\s*\([^)]*\)\s*\{(?:[^{}]|\{[^{}]*\})*\}")
_TEMPLATE = re.compile(r'(?:lu_table|power_lut)_template\s*\(\s*"?([^")\s]+)"?\s*\)\s*\{[^{}]*\}')
_FUNCTION = re.compile(r'\n\s*function\s*:\s*"([^"]*)"')
_AREA = re.compile(r"\n\s*area\s*:\s*([\d.]+)")
_STATEFUL = re.compile(r"\n\s*(?:ff|latch|statetable)\s*\(")
_UNITS = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


@dataclass(frozen=True)
class Table:
    """A look-up table over up to two axes; interpolated linearly, and extrapolated from its outermost cells.

    Attributes
    ----------
    slews, loads : tuple of float
        The axes, in the library's units; empty where the table does not depend on one.
    values : tuple of tuple of float
        One row per slew.
    """

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, slew: float, load: float) -> float:
        """The value at an input transition and an output load."""
        i, s = _place(self.slews, slew)
        j, t = _place(self.loads, load)
        rows = self.values
        low = rows[i][j] if not t else rows[i][j] + t * (rows[i][j + 1] - rows[i][j])
        if not s:
            return low
        high = rows[i + 1][j] if not t else rows[i + 1][j] + t * (rows[i + 1][j + 1] - rows[i + 1][j])
        return low + s * (high - low)


def _place(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    """The interval of an axis for a value, and where in it."""
    if len(axis) < 2:
        return 0, 0.0
    i = 0
    while i + 2 < len(axis) and axis[i + 1] <= value:
        i += 1
    return i, (value - axis[i]) / (axis[i + 1] - axis[i])


@dataclass(frozen=True)
class Arc:
    """Delays or energies from one input pin of a cell, for an output that rises and for one that falls.

    Attributes
    ----------
    pin : str
        The input; empty for a pin's own energy.
    sense : str
        `positive_unate`, `negative_unate` or `non_unate`; of timing arcs.
    when : str
        The state in which it holds; empty for all.
    rise, fall : Table, optional
        Delays, or energies.
    rise_slew, fall_slew : Table, optional
        Transitions of the output.
    """

    pin: str
    sense: str
    when: str
    rise: Table | None
    fall: Table | None
    rise_slew: Table | None = None
    fall_slew: Table | None = None


@dataclass(frozen=True)
class Pin:
    """A pin of a cell.

    Attributes
    ----------
    output : bool
    capacitance : float
        Of an input, in the library's unit.
    function : str
        Of an output, over the cell's inputs and its state.
    arcs : tuple of Arc
        Timing of an output.
    energies : tuple of Arc
        Internal energy per transition.
    """

    output: bool
    capacitance: float
    function: str
    arcs: tuple[Arc, ...]
    energies: tuple[Arc, ...]


@dataclass(frozen=True)
class Cell:
    """A standard cell.

    Attributes
    ----------
    name : str
    area : float
        µm², as the library states it.
    leakage : float
        In the library's unit, the mean over its states.
    pins : dict of str to Pin
    state : tuple of str
        Names of a flip-flop's state and its complement; empty for gates.
    clock, following : str
        A flip-flop's clock pin and next state.
    """

    name: str
    area: float
    leakage: float
    pins: dict[str, Pin]
    state: tuple[str, ...] = ()
    clock: str = ""
    following: str = ""

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [name for name, pin in self.pins.items() if not pin.output]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [name for name, pin in self.pins.items() if pin.output]


class Library:
    """The standard cells of one or more liberty files of the same technology and corner.

    Parameters
    ----------
    paths : list of Path
        Liberty files, or such files compressed with xz.

    Attributes
    ----------
    name : str
        Of the first file's library.
    voltage, temperature : float
        V and °C.
    time, capacitance, leakage : float
        The units of times, capacitances and leakage, in s, F and W. An internal energy's is capacitance·V².
    texts : dict of str to str
        The cells that may be used, by name.

    Raises
    ------
    GossetError
        If a file is missing or none of this kind, or if files do not go together.
    """

    def __init__(self, paths: list[Path]):
        if not paths:
            raise GossetError("A library needs at least one liberty file.")
        self.texts: dict[str, str] = {}
        self._header, self._templates, self._parsed = "", {}, {}  # type: str, dict[str, str], dict[str, Cell]
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        text = re.sub(r"/\*.*?\*/|\\\n", "", _text(path), flags=re.DOTALL)
        starts = [(match.start(), match[1]) for match in _CELL.finditer(text)]
        if not starts or not re.search(r"^\s*library\s*\(", text, re.MULTILINE):
            raise GossetError(f"{path} is no liberty file: it has no library with cells.")
        header = text[: starts[0][0]]
        self._templates |= {match[1]: match[0] for match in _TEMPLATE.finditer(header)}
        root = parse(header + "\n}", header.index("library"))
        about = (root.number("nom_voltage"), root.number("nom_temperature"), *_units(root, path))
        if not self._header:
            self.name, self._header, self._about = root.args, header, about
            self.voltage, self.temperature, self.time, self.capacitance, self.leakage = about
        elif about != self._about:
            raise GossetError(f"{path} has other units or another corner than the files before it.")
        for (start, name), (end, _) in zip(starts, [*starts[1:], (len(text), "")], strict=True):
            body = _balanced(text, start, end)
            if not re.search(r"dont_use\s*:\s*\"?true", body):
                self.texts.setdefault(name, body)

    def __getitem__(self, name: str) -> Cell:
        """A cell by name.

        Raises
        ------
        GossetError
            If there is none.
        """
        if name not in self._parsed:
            if name not in self.texts:
                raise GossetError(f"The library {self.name} has no cell {name}.")
            self._parsed[name] = _cell(parse(self.texts[name]), self._template_axes)
        return self._parsed[name]

    @cached_property
    def _template_axes(self) -> dict[str, dict[str, str]]:
        return {name: parse(text).attributes for name, text in self._templates.items()}

    @cached_property
    def for_synthesis(self) -> str:
        """One liberty file with the cells' functions, areas and delays: what yosys and ABC read."""
        templates = "\n".join(text for name, text in self._templates.items() if text not in self._header)
        return "\n".join([self._header, templates, *(_POWER.sub("", text) for text in self.texts.values()), "}\n"])

    def smallest(self, function: str, inputs: int) -> str:
        """Name of the smallest gate with one output of that function, over A, B, … in the order of its pins.

        Raises
        ------
        GossetError
            If there is none.
        """
        names = [
            name
            for name, (function_, _) in self._gates.items()
            if len(pins := _names(function_)) == inputs and same(function_, pins, function)
        ]
        if not names:
            raise GossetError(f"The library {self.name} has no cell {function}.")
        return min(names, key=lambda name: self._gates[name][1])

    @cached_property
    def _gates(self) -> dict[str, tuple[str, float]]:
        """Function and area of the gates with one output."""
        gates = {}
        for name, text in self.texts.items():
            functions = [match[1] for match in _FUNCTION.finditer(text)]
            area = _AREA.search(text)
            if len(functions) == 1 and area and not _STATEFUL.search(text):
                gates[name] = functions[0], float(area[1])
        return gates


def _names(function: str) -> list[str]:
    return sorted(set(re.findall(r"[A-Za-z]\w*", function)))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (lzma.decompress(data) if path.suffix == ".xz" else data).decode()
    except OSError as error:
        raise GossetError(f"Cannot read {path}: {error.strerror}.") from error
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise GossetError(f"{path} is no liberty file: {error}.") from error


def _units(root: Group, path: Path) -> tuple[float, float, float]:
    """The units of times, capacitances and leakage."""
    load = re.split(r"\s*,\s*", root.attributes.get("capacitive_load_unit", "").strip())
    try:
        capacitance = float(load[0]) * _UNITS[load[1].strip('" ').lower()[:-1]]
        return _unit(root.attributes["time_unit"]), capacitance, _unit(root.attributes.get("leakage_power_unit", "1nW"))
    except (KeyError, IndexError, ValueError) as error:
        raise GossetError(f"{path} does not say what its units of time and capacitance are.") from error


def _unit(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*([munpf]?)[a-zA-Z]", text.strip('" '))
    if not match:
        raise ValueError(text)
    return float(match[1]) * _UNITS[match[2]]


def _balanced(text: str, start: int, end: int) -> str:
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start, end):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return text[start : match.end()]
    raise GossetError(f"A liberty file ends within the cell {text[start : start + 40].strip()!r}.")


def _cell(group: Group, templates: dict[str, dict[str, str]]) -> Cell:
    pins: dict[str, Pin] = {}
    # The charge that leaves through ground is what came from the supply: a library that states both states it twice.
    grounds = [pin.args for pin in group.all("pg_pin") if pin.attributes.get("pg_type") == "primary_ground"]
    for pin in group.all("pin"):
        arcs = [
            Arc(
                related,
                timing.attributes.get("timing_sense", "non_unate"),
                timing.attributes.get("when", ""),
                _table(timing, "cell_rise", templates),
                _table(timing, "cell_fall", templates),
                _table(timing, "rise_transition", templates),
                _table(timing, "fall_transition", templates),
            )
            for timing in pin.all("timing")
            if timing.attributes.get("timing_type", "combinational") in ("combinational", "rising_edge", "falling_edge")
            for related in timing.attributes.get("related_pin", "").split()
        ]
        energies = []
        for power in pin.all("internal_power"):
            if power.attributes.get("related_pg_pin") in grounds:
                continue
            both = _table(power, "power", templates)
            rise, fall = (_table(power, name, templates) or both for name in ("rise_power", "fall_power"))
            for related in power.attributes.get("related_pin", "").split() or [""]:
                energies.append(Arc(related, "", power.attributes.get("when", ""), rise, fall))
        output = pin.attributes.get("direction") == "output"
        pins[pin.args] = Pin(
            output,
            0.0 if output else pin.number("capacitance"),
            pin.attributes.get("function", ""),
            tuple(arc for arc in arcs if arc.rise or arc.fall),
            tuple(energies),
        )
    state: tuple[str, ...] = ()
    clock = following = ""
    for flop in group.all("ff"):
        state = tuple(re.split(r'["\s]*,["\s]*', flop.args))
        clock, following = flop.attributes.get("clocked_on", ""), flop.attributes.get("next_state", "")
    return Cell(group.args, group.number("area"), _leakage(group), pins, state, clock.strip("() "), following)


def _leakage(group: Group) -> float:
    """The mean over the states of each supply; where there are none, what is stated for all."""
    supplies: dict[str, tuple[list[float], list[float]]] = {}
    for leakage in group.all("leakage_power"):
        stated = supplies.setdefault(leakage.attributes.get("related_pg_pin", ""), ([], []))
        stated["when" not in leakage.attributes].append(leakage.number("value"))
    if not supplies:
        return group.number("cell_leakage_power")
    means = [states or overall for states, overall in supplies.values()]
    return sum(sum(mean) / len(mean) for mean in means)


def _table(group: Group, name: str, templates: dict[str, dict[str, str]]) -> Table | None:
    """A table with the slews as rows, whichever axis the library names first."""
    found = next(group.all(name), None)
    if found is None:
        return None
    template = templates.get(found.args, {})
    axes = {}
    for i in ("1", "2"):
        text = found.attributes.get(f"index_{i}") or template.get(f"index_{i}", "")
        if text:
            of_loads = "capacitance" in template.get(f"variable_{i}", "total_capacitance" if i == "2" else "slew")
            axes["loads" if of_loads else "slews"] = tuple(numbers(text))
    values = numbers(found.attributes["values"])
    slews, loads = axes.get("slews", ()), axes.get("loads", ())
    columns = len(loads) or 1
    if list(axes) == ["loads", "slews"]:
        rows = [tuple(values[i :: len(slews)]) for i in range(len(slews))]
    else:
        rows = [tuple(values[i : i + columns]) for i in range(0, len(values), columns)]
    return Table(slews, loads, tuple(rows))
