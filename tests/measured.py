"""What docs/verification.md says of mutants and of soaking, from the reports of `make mutate` and `make soak`."""

from collections import Counter
from collections.abc import Iterator
from re import fullmatch
from typing import Any

from fpga.benches.catalogue import add
from sim.mutate.mutants import KINDS
from sim.mutate.run import BEGIN, score
from sim.mutate.units import UNITS, Unit

MUTANTS = """## Mutants: how much the testbenches see

`make mutate` (`gosset mutate`) changes the generated Verilog in one place at a time and runs the unit's testbench, the
one of `gosset bench`, first small, then ten times as large; registers begin as a reset would not leave them, so that
those that it does not reach are seen. A mutant is **killed** if a test fails. Of one that no test finds, a solver tries
to prove that it is **equivalent**: that nothing outside the module, or the modules around it, can tell it from what it
is made of, where a stream's payload may be anything while it is not valid; also with the small modules in it, and with
what the values of registers say; of control and jobs with resets of two cycles, as the AXI tops ask for; or, of
decoder, encoder and some queues, that the claims above hold of the mutant as well. What is neither has **survived**:
the testbench does not find it, or the proof does not; which of the two is said below where it is known. The changes are
of these kinds:

{kinds}.

| unit | testbench | mutants drawn | killed | equivalent | survived | killed of all but the equivalent ones |
|---|---|---|---|---|---|---|
{rows}

{tools}, seed {seed}. All mutants of a unit are in one simulation, which splits into a process for each of them when its
first test begins, as many at a time as there are processors. A module that is instantiated several times is changed in
all its places.{missing}{before}

Survivors, as they are in the Verilog:

{survivors}
"""

BENCHES = """## Cases that the testbenches meet

A testbench names the cases that it is about, from the design that it has before it: every β and pair of them, every
codeword, sign and tie, how tiles and products lie on the array, every cause of a cycle, every error bit, streams that
wait and that have nothing, resets with something inside. It counts how often tests that passed met each, and
`gosset bench` names those that none did. Small designs with uneven edges, `python -m tests.cases`:
**{met} of {total} cases are met.** Beside, how much of the Verilog the tests go through, as Verilator counts it: lines,
branches, and edges of single bits, up and down.
"""

NEVER = """Lines and branches that no test goes through, by the unit that they are in:
"""

REASONS = {
    r".*(engine\.decoder_\*\d*|candidate_\*\.decoder)": "here nobody stops a decoder: a block is taken each cycle",
    r".*\.gearbox": "no word is marked as the last, or nothing is left after a word",
    r"core(\.top)?(\.control)?\.registers": "they are chosen in groups of eight; a full one has no other",
    r"core\.runner\.accelerator\.engine": "results are taken as soon as they are there, and none stays on chip",
    r"core\.runner\.accelerator\.engine\.array\..*": "there is one row, and none above it",
    r"core\.runner\.accelerator.*": "one job at a time; more are what the tests of `accelerator` are about",
    r".*accelerator\.frame_[wx]": "a state machine is in none but its states; wrong packets are in `axi_stream`",
    r".*\.front_end\..*": "numbers out of range are what the tests of `front_end` are about",
    r"core\.top\.accelerator(\.write)?": "failing writes are what the tests of `axi_memory` are about",
    r".*accelerator(\.engine(\..*)?)?": "sums that stay on chip and full arrays are in the tests of `accelerator`",
    r"core(\.sender|(\.top)?(\.accelerator)?\.(control|planner|read))?": "a state machine is in none but its "
    "states; what is not in these jobs is in those of `accelerator` and `control`",
}
"""Why, by units."""

SOAK = """## Soaking

`make soak` (`gosset soak`) draws designs and products for a given time and compares every accumulator with golden's. In
{minutes:,.0f} minutes, seed {seed}, {designs} designs ran {products:,} products, which are {jobs:,} jobs of the
accelerators and {cycles:,} clock cycles: **{blocks:,} blocks decoded, {macs:,} multiply-accumulates, {accumulators:,}
results compared, {mismatches} different**. Designs with a front end are not among them.
"""


def units() -> dict[str, Unit]:
    """The units of which mutants are made, those of the board as well."""
    add()
    return UNITS


def mutants(report: dict[str, Any], reasons: dict[str, dict[str, str]]) -> str:
    """The section on mutants; `reasons` says of survivors, by unit and change, why they do."""
    rows, survivors = [], []
    for name, unit in report["units"].items():
        drawn = f"{unit['mutants']:,} of {unit['possible']:,}"
        counts = f"{unit['killed']:,} | {unit['equivalent']:,} | {len(unit['survivors']):,}"
        rows.append(f"| {name} | `{unit['bench']}` | {drawn} | {counts} | {100 * score(unit):.1f} % |")
        for one in unit["survivors"]:
            change = f"{one['target']} = {one['broken']}"
            place = f"{name}, `{one['module'].partition('.')[2] or one['module']}`, {one['kind']}"
            why = reasons.get(name, {}).get(change, "not known")
            survivors.append(f"- {place}: `{change}` (was `{one['sound']}`): {why}.")
    about, missing = report["about"], [name for name in units() if name not in report["units"]]
    before = [name for name, unit in report["units"].items() if unit.get("begin") != BEGIN]
    return MUTANTS.format(
        before=f" Registers still began as a reset leaves them in {', '.join(before)}." if before else "",
        missing=f" Not measured yet: {', '.join(missing)}." if missing else "",
        kinds="; ".join(KINDS.values()),
        rows="\n".join(rows),
        survivors="\n".join(survivors),
        tools=f"Verilator {about['tools']['verilator']}, {about['yosys']}",
        seed=report["seed"],
    )


def benches(report: dict[str, Any]) -> str:
    """The section on the cases that testbenches meet, and on how much of the Verilog they go through."""
    found = report["benches"]
    total = sum(len(bench["cases"]) for bench in found)
    missed = [(bench, case) for bench in found for case, times in bench["cases"].items() if not times]
    lines = [BENCHES.format(met=total - len(missed), total=total)]
    lines += ["| testbench | design | tests | results compared | cases met | lines | branches | toggles |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|"]
    for bench in found:
        counts, cases = bench["coverage"], bench["cases"].values()
        parts = [f"{100 * counts['met'][kind] / of:.1f} %" for kind, of in counts["total"].items()]
        met = f"{sum(times > 0 for times in cases)} of {len(cases)}"
        cells = (bench["name"], f"`{bench['design']}`", str(bench["passed"]), f"{bench['checked']:,}", met, *parts)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- Not met by {bench['name']} of `{bench['design']}`: {case}." for bench, case in missed)]
    cases_of: dict[str, dict[str, None]] = {}
    for bench in found:
        cases_of.setdefault(bench["name"], {}).update(dict.fromkeys(bench["cases"]))
    lines += [f"- {name}: {'; '.join(cases)}." for name, cases in cases_of.items()]
    return "\n".join([*lines, "", NEVER, *_never(found), ""])


def _never(found: list[dict[str, Any]]) -> Iterator[str]:
    """What no test goes through, by unit, and why."""
    units: dict[str, Counter[str]] = {}
    for bench in found:
        for unit, number in bench["coverage"]["never"].items():
            units.setdefault(unit or "top", Counter())[bench["name"]] = number
    for unit, numbers in units.items():
        why = next((reason for pattern, reason in REASONS.items() if fullmatch(pattern, unit)), "not known")
        yield f"- `{unit}`, {', '.join(f'{number} in {name}' for name, number in numbers.items())}: {why}."


def soaked(report: dict[str, Any]) -> str:
    """The section on soaking."""
    return SOAK.format(minutes=report["seconds"] / 60, **report)
