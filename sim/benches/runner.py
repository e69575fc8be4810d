"""The testbenches: units of the hardware and the whole accelerator, driven signal by signal by cocotb under Verilator.

    result = run_bench("decoder", Format(q=8))
    print(result)

The benches themselves are in `sim.benches.inside`, one module each; this one has the Verilog generated and the
simulation built or found in the cache, runs it, and reads what it reports.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from golden.errors import GossetError
from golden.format import Format
from hw.design import DesignPoint
from sim.benches import coverage
from sim.benches.catalogue import BENCHES
from sim.benches.result import BenchResult
from sim.benches.simulation import Progress, Simulation

SEED = 2718
"""The seed of every bench, unless another is given."""


def run_bench(
    name: str,
    design: DesignPoint | Format,
    *,
    blocks: int | None = None,
    seed: int = SEED,
    only: str | None = None,
    verilog: str | None = None,
    waves: bool = False,
    covers: bool = False,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> BenchResult:
    """Runs a testbench.

    Parameters
    ----------
    name : str
        One of `BENCHES`.
    design : DesignPoint or Format
        What to test; a format is enough for the decoder and the cell.
    blocks : int, optional
        Blocks in each test, more or less.
    seed : int
        Of everything that is random.
    only : str, optional
        Regular expression: of the tests, run those whose name has a match.
    verilog : str, optional
        Text to test in place of the generated one, with the same ports.
    waves : bool
        Record waves. Slower.
    covers : bool
        Count the lines, branches and toggles of the Verilog that the tests go through. Slower.
    folder : Path, optional
        Where to leave the log, the results and the waves. A folder of its own by default, which is removed if all
        tests pass and no waves were asked for.
    progress : callable, optional

    Raises
    ------
    GossetError
        If there is no such bench, or it needs a design point.
    ToolError
        If a tool is missing or the simulation cannot be built, or ended without results.
    """
    if name not in BENCHES:
        raise GossetError(f"No bench is called {name!r}; there are {', '.join(BENCHES)}.")
    bench = BENCHES[name]
    blocks = bench.blocks if blocks is None else blocks
    generated = bench.generate(design)
    if verilog is not None:
        generated = replace(generated, verilog=verilog)
    simulation = Simulation(generated, waves, covers=covers)
    program = simulation.build()
    with _folder(folder, name) as (place, keep):
        start = time.perf_counter()
        report, failures = simulation.run(program, place, bench.module, blocks, seed, only, progress)
        result = BenchResult(
            name=name,
            design=design.name if isinstance(design, DesignPoint) else _described(design),
            seed=seed,
            blocks=blocks,
            passed=report.passed,
            failed=len(failures),
            checked=report.checked,
            cases=report.cases,
            coverage=coverage.read(place / coverage.FILE, generated.verilog) if covers else None,
            seconds=time.perf_counter() - start,
            failures=failures,
            folder=place if keep(waves or bool(failures)) else None,
        )
    return result


def _described(format: Format) -> str:
    return f"q={format.q} β={','.join(map(str, format.betas))}"


@contextmanager
def _folder(given: Path | None, name: str) -> Iterator[tuple[Path, Callable[[bool], bool]]]:
    """The folder of a run, and a function that says whether it stays, given whether there is a reason.

    One that was not asked for is removed at the end, unless there was a reason or an error.
    """
    if given:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute(), lambda _: True
        return
    place = Path(tempfile.mkdtemp(prefix=f"gosset-{name}-"))
    stays = True

    def keep(reason: bool) -> bool:
        nonlocal stays
        stays = reason
        return reason

    yield place, keep
    if not stays:
        shutil.rmtree(place)
