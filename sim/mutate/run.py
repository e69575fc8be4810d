"""Tries mutants: first by a testbench, then, of those that it does not find, whether they are mutants at all."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from golden import process
from golden.errors import GossetError, ToolError
from golden.files import named, read_bytes, reason, writable, write_text
from hw.generate import Generated
from sim.benches import catalogue
from sim.benches.runner import SEED
from sim.benches.settings import Mutants
from sim.benches.simulation import Simulation
from sim.mutate import equivalence
from sim.mutate.mutants import Mutant, drawn, found, planted
from sim.mutate.units import Unit
from sim.provenance import provenance
from sim.silicon.tools import yosys

CLAIM_LIMIT = 300.0
"""Seconds for each question to the solver whether a claim holds of a mutant."""

WANTED = 0.98
"""Of the mutants that are none of the equivalent ones, the share that a testbench has to find."""

BEGIN = "unlike"
"""How registers begin in a testbench of mutants, see `with_mutants`."""

REGISTER = re.compile(r"^( *reg (?:\[\d+:0\] )?\S+ +?= )(\d+)'h([0-9a-f]+);", re.MULTILINE)
"""A register and how it begins."""

TIMES = 10
"""How much larger the testbench is for what it does not find."""


Ui = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Opens the progress display of a stage, by its name and total: a context manager that gives what advances it."""


@dataclass(frozen=True)
class Tried:
    """What became of a mutant.

    Attributes
    ----------
    mutant : Mutant
    status : str
        "killed", "equivalent" or "survived".
    test, message : str
        The test that found it, and what it said.
    """

    mutant: Mutant
    status: str
    test: str = ""
    message: str = ""


class Store:
    """What was found out already: a JSON object a line, with a `key`; a last line that is not whole is left out.

    Parameters
    ----------
    path : Path

    Raises
    ------
    GossetError
        If it cannot be read or written.
    """

    def __init__(self, path: Path):
        self.path = writable(path)
        self.lines: dict[str, dict[str, Any]] = {}
        text = read_bytes(path).decode(errors="replace") if path.exists() else ""
        for line in text.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                self.lines[record["key"]] = record
        self._broken = bool(text) and not text.endswith("\n")

    def add(self, key: str, **record: Any) -> None:
        """Writes down what was found out.

        Raises
        ------
        GossetError
            If it cannot be written.
        """
        self.lines[key] = {"key": key, **record}
        line = json.dumps(self.lines[key], ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._broken + line)
        except OSError as error:
            raise GossetError(f"Cannot write {named(self.path)}: {reason(error)}.") from error
        self._broken = False


def mutants_of(unit: Unit, generated: Generated, count: int, seed: int) -> tuple[list[Mutant], int]:
    """So many mutants of a unit, or all that there are, and how many there are."""
    rng = np.random.default_rng(seed)
    top = generated.description["top"]
    every = found(generated.verilog, lambda module: unit.has(top, module), rng)
    if not every:
        raise ToolError(f"There is nothing to change in {unit.name}: no module of {top} has a name that is its own.")
    return drawn(every, count, rng), len(every)


def with_mutants(generated: Generated, mutants: Sequence[Mutant]) -> Generated:
    """The Verilog with all mutants, with an input that says which of them is there, and with registers that begin as a
    reset would not leave them: those that it does not reach are seen, as they are on a chip, where they begin as
    anything."""

    def unlike(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}'h{(1 << int(found[2])) - 1 - int(found[3], 16):x};"

    top = generated.description["top"]
    text = planted(REGISTER.sub(unlike, generated.verilog), mutants, f"{top}.{equivalence.CHOSEN}")
    head, _, body = text.partition(");\n")
    head = head.replace(f"module {top}(", f"module {top}({equivalence.CHOSEN}, ", 1)
    ports = f"  input [15:0] {equivalence.CHOSEN};\n  wire [15:0] {equivalence.CHOSEN};\n"
    port = {"name": equivalence.CHOSEN, "direction": "in", "width": 16}
    description = generated.description | {"ports": [*generated.description["ports"], port]}
    return replace(generated, verilog=f"{head});\n{ports}{body}", description=description)


def attempt(unit: Unit, mutants: list[Mutant], store: Store, ui: Ui) -> list[Tried]:
    """Tries mutants of a unit by its testbench, and by proof those that it does not find.

    What is in the store is not tried again: neither by the same testbench, nor by proof.

    Raises
    ------
    ToolError
        If a tool is missing or fails, or the testbench finds fault with the hardware as it is.
    """
    generated = unit.generated()
    lines = _bench(unit, generated, mutants, mutants, unit.blocks, store, partial(ui, unit.name))
    hard = [mutant for mutant in mutants if not lines[mutant]["test"]]
    same: set[Mutant] = set()

    def prove(title: str, proved: Callable[..., set[Mutant]]) -> None:
        left = [mutant for mutant in hard if mutant not in same]
        with ui(title, len(left)) as advance:
            same.update(proved(unit, generated, left, store, advance))

    if unit.claims:
        prove("  claims", as_claimed)
    prove("  quick proofs", partial(equivalents, quick=True))
    left = [mutant for mutant in hard if mutant not in same]
    lines |= _bench(unit, generated, mutants, left, TIMES * unit.blocks, store, partial(ui, "  longer"))
    hard = [mutant for mutant in hard if not lines[mutant]["test"]]
    prove("  proofs", equivalents)

    def became(mutant: Mutant) -> Tried:
        line = lines[mutant]
        if line["test"]:
            return Tried(mutant, "killed", line["test"], line["message"])
        return Tried(mutant, "equivalent" if mutant in same else "survived")

    return [became(mutant) for mutant in mutants]


def _bench(
    unit: Unit,
    generated: Generated,
    mutants: list[Mutant],
    wanted: list[Mutant],
    blocks: int,
    store: Store,
    ui: Callable[[int], AbstractContextManager[Callable[[int], None]]],
) -> dict[Mutant, dict[str, Any]]:
    """What the testbench, at a size, says of those mutants that are wanted, and of which the store does not say it yet;
    what becomes of each is written down as soon as it is known. All `mutants` are in the Verilog."""
    keys = {mutant: key(generated, mutant, BEGIN, _made_of(unit.bench), blocks) for mutant in wanted}
    numbers = [i for i, mutant in enumerate(mutants, 1) if mutant in keys and keys[mutant] not in store.lines]
    with ui(len(wanted)) as advance:
        advance(len(wanted) - len(numbers))
        if numbers:
            simulation = Simulation(with_mutants(generated, mutants), waves=False)
            program = simulation.build()
            with tempfile.TemporaryDirectory(prefix=f"gosset-mutate-{unit.name}-") as name:
                outcomes, seen = Path(name) / "outcomes", 0

                def watch() -> None:
                    nonlocal seen
                    text = outcomes.read_text(encoding="utf-8") if outcomes.exists() else ""
                    lines = text.split("\n")[:-1]
                    for outcome in map(json.loads, lines[seen:]):
                        number, test = outcome.pop("number"), outcome["test"]
                        if number:
                            store.add(keys[mutants[number - 1]], **outcome)
                            advance(1)
                        elif test:
                            why = f"{test}: {outcome['message']}"
                            raise ToolError(f"The bench {unit.bench} fails without a mutant, {why}")
                    seen = len(lines)

                settings = Mutants(equivalence.CHOSEN, numbers, str(outcomes))
                module = catalogue.BENCHES[unit.bench].module
                simulation.try_mutants(program, Path(name), module, blocks, SEED, settings, watch)
                watch()
                if seen != len(numbers) + 1:
                    tried = f"{max(0, seen - 1)} of {len(numbers)}"
                    raise ToolError(f"The bench {unit.bench} tried {tried} mutants, and ended.")
    return {mutant: store.lines[name] for mutant, name in keys.items()}


def as_claimed(
    unit: Unit, generated: Generated, mutants: list[Mutant], store: Store, advance: Callable[[int], None]
) -> set[Mutant]:
    """Those mutants of which all is proved that claims say of their modules."""
    proved: set[Mutant] = set()
    for mutant in mutants:
        names = unit.claimed(generated.description["top"], mutant.module)
        name = key(generated, mutant, names, CLAIM_LIMIT)
        if names and name not in store.lines:
            store.add(name, equivalent=equivalence.as_claimed(names, mutant, CLAIM_LIMIT))
        proved |= {mutant} if names and store.lines[name]["equivalent"] else set()
        advance(1)
    return proved


def equivalents(
    unit: Unit,
    generated: Generated,
    mutants: list[Mutant],
    store: Store,
    advance: Callable[[int], None],
    *,
    quick: bool = False,
) -> set[Mutant]:
    """Those mutants of which it is proved that they change nothing; `quick` says by what takes seconds at most."""
    proved: set[Mutant] = set()
    for module in dict.fromkeys(mutant.module for mutant in mutants):
        here = [mutant for mutant in mutants if mutant.module == module]
        outer = equivalence.outer(generated.verilog, module)
        for way in equivalence.ways(len(outer), quick=quick):
            left, ring = [mutant for mutant in here if mutant not in proved], outer[: way.around]
            points = [] if ring else unit.carriers(generated.description["top"], module)
            how = [asdict(way), *ring, *points, *([unit.reset_cycles] if unit.reset_cycles > 1 else [])]
            keys = {mutant: key(generated, mutant, *how) for mutant in left}
            missing = [mutant for mutant in left if keys[mutant] not in store.lines]
            if missing:
                circuit = equivalence.circuit(
                    generated.verilog, missing, ring, points, lines=way.lines, reset_cycles=unit.reset_cycles
                )
                with process.threads() as pool:
                    asked = {
                        pool.submit(equivalence.equivalent, circuit, number, way): mutant
                        for number, mutant in enumerate(missing, 1)
                    }
                    for answer in as_completed(asked):
                        store.add(keys[asked[answer]], equivalent=answer.result())
            same = {mutant for mutant, name in keys.items() if store.lines[name]["equivalent"]}
            proved |= same
            advance(len(same))
        advance(len([mutant for mutant in here if mutant not in proved]))
    return proved


def key(generated: Generated, mutant: Mutant, *conditions: object) -> str:
    """The name of a mutant, and of the conditions under which it was tried, in the store."""
    parts = [generated.verilog, asdict(mutant), *conditions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@cache
def _made_of(bench: str) -> str:
    """What a testbench is made of: its own tests, and what it shares with others."""
    spec = find_spec(catalogue.BENCHES[bench].module)
    assert spec and spec.origin
    own, folder = Path(spec.origin), Path(catalogue.__file__).with_name("inside")
    near = {path for place in (folder, own.parent) for path in place.glob("*.py")}
    parts = [path for path in sorted(near) if path == own or not path.stem.endswith("_tests")]
    if bench == "axi_raw":
        parts.append(folder / "axi_stream_tests.py")
    return hashlib.sha256("\0".join(path.read_text(encoding="utf-8") for path in parts).encode()).hexdigest()


def run(
    units: list[Unit],
    count: int,
    seed: int,
    output: Path,
    ui: Ui,
) -> dict[str, Any]:
    """Tries so many mutants of each unit, and writes down what became of them.

    Parameters
    ----------
    units : list of Unit
    count : int
        Of each unit; all that there are, if they are fewer.
    seed : int
        Of what is drawn.
    output : Path
        Folder for report.json, and for mutants.jsonl, in which a next run finds what is known already.
    ui : Ui

    Returns
    -------
    dict
        What is in report.json: `about`, `seed`, and `units` by name, each as `entry` makes it.
    """
    path, store = writable(output / "report.json"), Store(output / "mutants.jsonl")
    report: dict[str, Any] = {"about": {**provenance(), "yosys": yosys()[1]}, "seed": seed, "units": {}}
    for unit in units:
        mutants, every = mutants_of(unit, unit.generated(), count, seed)
        report["units"][unit.name] = entry(unit, attempt(unit, mutants, store, ui), every)
        write_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return report


def entry(unit: Unit, tried: list[Tried], every: int) -> dict[str, Any]:
    """What a report says of a unit.

    `bench`, `design`, `blocks` and `begin` say how its mutants were tried; `possible` how many there are, `mutants` how
    many were tried, `killed` and `equivalent` how many of those; `killed_by` counts by test; `survivors` are listed.
    """
    of = {status: [t for t in tried if t.status == status] for status in ("killed", "equivalent", "survived")}
    killers: dict[str, int] = {}
    for one in of["killed"]:
        killers[one.test] = killers.get(one.test, 0) + 1
    return {
        "bench": unit.bench,
        "design": unit.design.name,
        "blocks": unit.blocks,
        "begin": BEGIN,
        "possible": every,
        "mutants": len(tried),
        "killed": len(of["killed"]),
        "equivalent": len(of["equivalent"]),
        "killed_by": dict(sorted(killers.items(), key=lambda item: -item[1])),
        "survivors": [asdict(one.mutant) for one in of["survived"]],
    }


def score(unit: dict[str, Any]) -> float:
    """The share that was found of the mutants of a unit that change something, from its entry in a report."""
    real = unit["mutants"] - unit["equivalent"]
    return float(unit["killed"] / real) if real else 1.0
