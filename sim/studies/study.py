"""A study: the question, as a TOML file asks it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from golden.errors import GossetError
from golden.files import named, read_bytes
from golden.given import is_integer, shown
from hw.design import MAX_DEPTH, MAX_EDGE
from sim.silicon.compose import Build, builds
from sim.silicon.tables import memories
from sim.studies.fabric import BOARDS, Board
from sim.studies.networks import results
from sim.workloads.language import Request
from sim.workloads.layers import Workload
from sim.workloads.load import load

BUILTIN = Path(__file__).parent / "builtin"
"""Folder of the studies that come along."""

MAX_FILE = 1 << 20
"""Bytes of a study at most."""

OBJECTIVES = {"time": "time_s", "energy": "energy_j", "area": "area_mm2", "luts": "luts", "bits": "bits",
              "quality": "sqnr_db", "network": "network"}  # fmt: skip
"""What can be asked for, and the column that says how much of it a point has. Less is better, but of quality and of
what a network does well by."""

LIMITED = ("time_s", "energy_j", "power_w", "area_mm2", "bits", "sqnr_db", "network", "bandwidth_gb_s",
           "luts", "dsps", "brams")  # fmt: skip
"""Columns that `[most]` and `[least]` may limit."""

FABRIC = "ecp5"
"""The technology whose units are measured in LUTs."""

WHOLE = ("rows", "cols", "panel_rows", "x_depth", "w_depth")
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "rows": (4,),
    "cols": (4,),
    "dataflow": ("os",),
    "panel_rows": (64,),
    "x_depth": (1024,),
    "w_depth": (512,),
    "activations": ("packed",),
    "products": ("squares",),
    "format": ("*",),
    "clock_mhz": (0.0,),
    "gigabytes_per_second": (0.0,),
}
"""The axes, in the order of the grid, the first one outermost. Clock 0 is that of the slowest unit; a bandwidth of 0 is
more than the array can use."""

CHOICES = {"dataflow": ("os", "ws"), "activations": ("packed", "int8"), "products": ("squares", "dsps")}
TABLES = ("workload", "memory", "design", "most", "least")
KEYS = ("title", "technology", "board", "objectives", "seed", "evaluations", *TABLES)
OF_WORKLOAD = ("source", "phase", "batch", "context", "dims")
RANGE = ({"from", "to", "step"}, {"from", "to", "times"})

LARGEST_GRID = 50_000_000
"""Points of a grid that is evaluated as a whole; of a larger one NSGA-II chooses."""


@dataclass(frozen=True)
class Study:
    """A question.

    Attributes
    ----------
    title : str
    toml : str
        The file.
    workload : Workload
    technology : str
        "ecp5", a technology that `gosset silicon` figures are shipped of, or the path of such a table.
    board : Board or None
        Whose LUTs, DSPs and memories are the limit.
    memory : str
        What operands come from.
    axes : mapping
        Values by parameter, in the order of `DEFAULTS`.
    most, least : mapping
        Limits by column.
    objectives : tuple of str
        Keys of `OBJECTIVES`.
    network : str or None
        The key of `sim.studies.networks.results` that "network" is of, if it is asked for.
    evaluations, seed : int
        Of NSGA-II, where the grid is too large.
    """

    title: str
    toml: str
    workload: Workload
    technology: str
    board: Board | None
    memory: str
    axes: Mapping[str, tuple[Any, ...]]
    most: Mapping[str, float]
    least: Mapping[str, float]
    objectives: tuple[str, ...]
    evaluations: int
    seed: int
    network: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each axis."""
        return tuple(len(values) for values in self.axes.values())

    @classmethod
    def load(cls, source: str) -> "Study":
        """The study of a file, or a built-in one by name.

        Raises
        ------
        GossetError
            If it cannot be read, or asks for what there is not; the sentence names the line.
        """
        path = BUILTIN / f"{source}.toml" if source in studies() else Path(source)
        if source not in studies() and path.suffix != ".toml":
            raise GossetError(f"No study is called {shown(source)}; give {', '.join(studies())}, or a .toml file.")
        try:
            text = read_bytes(path, MAX_FILE).decode("utf-8-sig")
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise GossetError(f"{named(path)} is not a TOML file: {error}.") from error
        except GossetError:
            raise
        except ValueError as error:
            raise GossetError(f"{named(path)} is not a TOML file: {error}.") from error
        return _Reader(path, text, values).study()


@cache
def formats() -> dict[str, Build]:
    """The formats that both operands can be in, by name."""
    return {name: build for name, build in builds().items() if not build.int8}


def studies() -> list[str]:
    """Names of the built-in studies."""
    return sorted(path.stem for path in BUILTIN.glob("*.toml"))


def line_of(text: str, table: str, key: str) -> int | None:
    """The line of a TOML file, counted from 1, in which a key of a table is set, or else the table, in one line; None
    if it cannot be told."""
    inside: list[str] = []
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            inside = [header[1]]
            found.setdefault(header[1], number)
        elif set_here := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            names = [*inside, *(name.strip("\"'") for name in set_here[1].split("."))]
            for length in range(1 + len(inside), 1 + len(names)):
                found.setdefault(".".join(names[:length]), number)
    within = found.get(table)
    return found.get(f"{table}.{key}" if table else key, within)


class _Reader:
    """Checks a study as it is read, so that each error can name its line."""

    def __init__(self, path: Path, text: str, values: dict[str, Any]) -> None:
        self.path, self.text, self.values = path, text, values

    def error(self, table: str, key: str, said: str) -> GossetError:
        line = line_of(self.text, table, key)
        return GossetError(f"{named(self.path)}{f', line {line}' if line else ''}: {said}")

    def keys(self, table: str, values: Any, known: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise self.error("", table, f"{table} is a table of {', '.join(known)}, not {shown(values)}.")
        if unknown := [key for key in values if key not in known]:
            where = f"[{table}]" if table else "a study"
            raise self.error(table, unknown[0], f"{where} has no key {unknown[0]!r}, only {', '.join(known)}.")
        return values

    def study(self) -> Study:
        values = self.keys("", self.values, KEYS)
        title = values.get("title", self.path.stem)
        if not isinstance(title, str):
            raise self.error("", "title", f"the title must be text, but it is {shown(title)}.")
        if "workload" not in values:
            raise GossetError(f"{named(self.path)} lacks the table [workload], which says what is computed.")
        technology, board = self.technology(values)
        axes = self.axes(values.get("design", {}), technology)
        memory, axes["gigabytes_per_second"] = self.memory(values.get("memory", {}))
        most, least = self.limits("most"), self.limits("least")
        for column in most.keys() & least.keys():
            if least[column] > most[column]:
                said = f"{column} cannot be at least {least[column]:g} and at most {most[column]:g}."
                raise self.error("least", column, said)
        if board:
            most = {"luts": board.luts, "dsps": board.dsps, "brams": board.brams} | most
        self.suitable(technology, {**most, **least})
        return Study(
            title=title,
            toml=self.text,
            workload=self.workload(),
            technology=technology,
            board=board,
            memory=memory,
            axes={name: tuple(axes.get(name, DEFAULTS[name])) for name in DEFAULTS},
            most=most,
            least=least,
            objectives=self.objectives(technology),
            network=self.network(),
            evaluations=self.count("evaluations", 2000),
            seed=self.count("seed", 0),
        )

    def technology(self, values: dict[str, Any]) -> tuple[str, Board | None]:
        technology, name = values.get("technology", "asap7"), values.get("board")
        if name is not None and name not in BOARDS:
            said = f"areas are known of the boards {', '.join(BOARDS)}, not of {shown(name)}."
            raise self.error("", "board", said)
        if name is not None and technology != FABRIC:
            raise self.error("", "board", f'a board goes with technology = "{FABRIC}".')
        if not isinstance(technology, str):
            raise self.error("", "technology", f"the technology must be text, but it is {shown(technology)}.")
        return technology, BOARDS[name] if name else None

    def workload(self) -> Workload:
        given = self.keys("workload", self.values["workload"], OF_WORKLOAD)
        source = given.get("source")
        if not isinstance(source, str):
            raise self.error("", "workload", "[workload] needs source: a name, or a file beside the study.")
        beside = self.path.parent / source
        try:
            request = Request(**{key: given[key] for key in ("phase", "batch", "context") if key in given})
            return load(str(beside) if beside.is_file() else source, request, given.get("dims"))
        except (GossetError, TypeError) as error:
            raise self.error("workload", "source", str(error)) from error

    def memory(self, given: Any) -> tuple[str, tuple[Any, ...]]:
        given = self.keys("memory", given, ("name", "gigabytes_per_second"))
        known = [name for name in memories() if not name.startswith("sram")]
        name = given.get("name", "hbm2")
        if name not in known:
            raise self.error("memory", "name", f"a memory is {', '.join(known)}, not {shown(name)}.")
        speeds = self.numbers("memory", "gigabytes_per_second", given.get("gigabytes_per_second", 0.0))
        if len(speeds) > 1:
            said = "gigabytes_per_second must be one number: a memory is what a study has, not what it chooses."
            raise self.error("memory", "gigabytes_per_second", said)
        return name, speeds

    def axes(self, given: Any, technology: str) -> dict[str, tuple[Any, ...]]:
        known = tuple(name for name in DEFAULTS if name != "gigabytes_per_second")
        given = self.keys("design", given, known)
        axes: dict[str, tuple[Any, ...]] = {}
        for name, value in given.items():
            if name == "format":
                axes[name] = self.formats(value)
            elif name in CHOICES:
                axes[name] = self.listed("design", name, value)
                if wrong := [v for v in axes[name] if v not in CHOICES[name]]:
                    said = f"{name} is {' or '.join(CHOICES[name])}, not {shown(wrong[0])}."
                    raise self.error("design", name, said)
            elif name == "clock_mhz":
                axes[name] = self.numbers("design", name, value)
            else:
                axes[name] = self.sizes(name, value)
        axes["format"] = axes.get("format") or self.formats("*")
        if technology == FABRIC and not given.get("clock_mhz"):
            raise self.error("", "technology", f"{FABRIC} needs clock_mhz in [design]: no clock is modelled there.")
        return axes

    def listed(self, table: str, key: str, value: Any) -> tuple[Any, ...]:
        values = tuple(value) if isinstance(value, list) else (value,)
        if not values:
            raise self.error(table, key, f"{key} has no values.")
        if any(isinstance(v, list | dict) for v in values) or len(set(values)) < len(values):
            raise self.error(table, key, f"{key} must be different values, not {shown(value)}.")
        return values

    def sizes(self, name: str, value: Any) -> tuple[int, ...]:
        if isinstance(value, dict):
            value = self.range(name, value)
        values = self.listed("design", name, value)
        most = {"panel_rows": 1024}.get(name, MAX_DEPTH if name.endswith("depth") else MAX_EDGE)
        least = 4 if name.endswith("depth") else 1
        for v in values:
            if not is_integer(v) or not least <= v <= most:
                raise self.error("design", name, f"{name} must be from {least} to {most}, but one is {shown(v)}.")
            if name.endswith("depth") and v & (v - 1):
                raise self.error("design", name, f"{name} must be powers of two, but one is {v}.")
        return values

    def range(self, name: str, value: dict[str, Any]) -> list[int]:
        if set(value) not in RANGE or not all(is_integer(v) for v in value.values()):
            raise self.error("design", name, f"a range is {{from, to, step}} or {{from, to, times}}, not {value}.")
        first, last = value["from"], value["to"]
        step, times = value.get("step", 0), value.get("times", 1)
        if first > last:
            raise self.error("design", name, f"the range of {name} from {first} to {last} is empty.")
        if (step < 1 and times < 2) or first < 1 or last > MAX_DEPTH:
            raise self.error("design", name, f"the range of {name} must go up, from 1 to {MAX_DEPTH} at most.")
        values = [first]
        while (following := values[-1] * times + step) <= last:
            values.append(following)
        return values

    def numbers(self, table: str, key: str, value: Any) -> tuple[float, ...]:
        values = self.listed(table, key, value)
        for v in values:
            if isinstance(v, bool) or not isinstance(v, int | float) or not isfinite(v) or not 0 <= v <= 1e9:
                raise self.error(table, key, f"{key} must be a number from 0 to 1e9, but it is {shown(v)}.")
        return tuple(map(float, values))

    def formats(self, value: Any) -> tuple[str, ...]:
        every, chosen = list(formats()), []
        for pattern in self.listed("design", "format", value):
            found = [name for name in every if isinstance(pattern, str) and fnmatchcase(name, pattern)]
            if not found:
                said = f"no format is called {shown(pattern)}; there are {'; '.join(every)}."
                raise self.error("design", "format", said)
            chosen += [name for name in found if name not in chosen]
        return tuple(chosen)

    def limits(self, table: str) -> dict[str, float]:
        given = self.keys(table, self.values.get(table, {}), LIMITED)
        return {key: self.numbers(table, key, value)[0] for key, value in given.items()}

    def suitable(self, technology: str, limits: Mapping[str, float]) -> None:
        missing = ("energy_j", "power_w", "area_mm2") if technology == FABRIC else ("luts", "dsps", "brams")
        for table in ("most", "least"):
            for key in self.values.get(table, {}):
                if key in missing:
                    raise self.error(table, key, f"there are no figures of {key} in {technology}.")

    def objectives(self, technology: str) -> tuple[str, ...]:
        missing = ("energy", "area") if technology == FABRIC else ("luts",)
        usual = [name for name in OBJECTIVES if name not in (*missing, "network")]
        value = self.listed("", "objectives", self.values.get("objectives", usual))
        for name in value:
            if name not in OBJECTIVES:
                said = f"an objective is {', '.join(OBJECTIVES)}, not {shown(name)}."
                raise self.error("", "objectives", said)
            if name in missing:
                raise self.error("", "objectives", f"there are no figures of {name} in {technology}.")
        return value

    def network(self) -> str | None:
        """The workload, if what is left of it is asked for."""
        source = self.values["workload"]["source"]
        asked = [("", "objectives")] if "network" in self.values.get("objectives", ()) else []
        asked += [(table, "network") for table in ("most", "least") if "network" in self.values.get(table, {})]
        for table, key in asked:
            if source not in results():
                said = f"nothing was measured of the network {shown(source)}, only of {', '.join(results())}."
                raise self.error(table, key, said)
        return source if asked else None

    def count(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        if not is_integer(value) or not 0 <= value <= 1_000_000:
            raise self.error("", key, f"{key} must be from 0 to 1,000,000, but it is {shown(value)}.")
        return int(value)
