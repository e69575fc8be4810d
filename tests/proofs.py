"""docs/verification.md: what is proved, how, in which seconds, and what is not; and what else is measured.

The page is made of the claims, and of the reports of `make formal`, `make mutate` and `make soak`, which are kept as
docs/proofs.json, docs/mutants.json and docs/soak.json, and of docs/cases.json (`tests/cases.py`). Why a mutant
survives, where that is known, is written down by hand, in docs/survivors.json: by unit, and by what the Verilog says
with it.

`python -m tests.proofs build/formal/report.json` takes a new report, or several, of any of the three, and writes the
page anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fpga.benches.proofs import add
from golden.errors import GossetError
from golden.files import read_bytes, write_text
from sim.formal.catalogue import all_claims
from sim.formal.run import GOOD
from tests import measured

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PROOFS, MUTANTS, CASES, SOAK, SURVIVORS = (
    DOCS / name
    for name in ("verification.md", "proofs.json", "mutants.json", "cases.json", "soak.json", "survivors.json")
)
Report = dict[str, Any]

add()

INTRODUCTION = """# Verification: what is proved, and what is measured

`make formal` (`gosset formal`) proves claims on the generated Verilog for all inputs. A claim is a sentence about a
unit. yosys reads the unit's Verilog, as `hw.generate` writes it, and a circuit around it that says when the sentence is
broken; a solver then looks for inputs and states that break it, and finds that there are none.

- **Golden itself.** Where a rule of `golden/` is part of a claim, golden's own functions are run on symbols instead of
  numbers (`sim/formal/symbolic.py`), with NumPy's types and their overflow. Nothing is written down a second time.
- **Any state.** No proof takes a register's first value from the Verilog. "From any state" begins with every register
  as the solver likes; "induction" begins with one cycle of reset in any state.
- **Every case.** What depends on 32 bits at most can be tried with all of them, 512 cases at once: yosys' gates of the
  same circuit as lines of C++. A case that is found there has to be one for the solver as well.
- **Cases.** Each claim names cases that it is about, and shows a run that reaches each.
- **Planted bugs.** For each claim a bug is planted in the same Verilog, and the same proof has to find it. In a claim
  by linear arithmetic, one of its facts is left out instead, and it must no longer follow.
- **How one ends.** `proved`; `holds`, for so many cycles from reset only; `refuted`, with values and waves.

`gosset formal --only 'decoder_q4_*'` proves some, `gosset formal --list` says what the claims are. The test suite
proves a few of them each time.
"""

TRUSTED = """## What the proofs rest on

yosys' reading of Verilog and its formulas of it; Bitwuzla and Z3, which are believed when they find nothing, or, where
every case is tried, yosys' gates and the C++ compiler; that the 240 minimal vectors of Λ are the facets of its Voronoi
cell (Conway and Sloane, *Sphere packings, lattices and groups*, chapter 21). These steps are arguments and no proofs by
a solver: that a run with pauses is the run without them, drawn out (from the claims `*_pauses`); that stages, each
proved from whatever its registers hold, make the whole, also the encoder of its division, search and choice; that the
facts of `search_squares` and `search_nearest` are what `search_least` and `search_coordinate` conclude; that the
products of the cells of an array, which its claims take to be anything, are those of the claims on cells; that a rank
which falls with each step, and steps that are never far apart, bring a job to its end (of an engine that is proved as
well); that plans are as the claims on engines take them from the planner; that the core of a board gets the rest of
each frame, since what comes from the line is whole (from `link_receiver`); and that the beat in front of a
writer's queue is the oldest one (from the claim `order_queue`), which `ends_writer_bursts` takes for granted. That
golden's rules on integers without bounds are golden in NumPy's types rests on `search_bounded`. Seconds are those of
the solver, or of the program that tries every case and its compiler, on the machine where `make formal` ran, two claims
at a time and beside other work.
"""

NOT_PROVED = (
    "Cells whose accumulators have fewer bits than a sum of any length needs. Benches and tests compare their sums.",
    "That int8 is cut into digits, one block after the other; that its sums fit the accumulators.",
    "That the decoder's energy is the least for q = 32 and 64: it is golden's point there as well, by proof, but 2^40 "
    "and 2^48 labels are too many to try the certificate by minimal vectors on each.",
    "Arrays of other sizes than those of the claims; that sums fit the accumulators of a lean array.",
    "The encoder's soft decisions for q other than 16 with other than 4 fraction bits, which are the same circuit; "
    "sets of β other than those of the claims; serial candidates of other formats than the default.",
    "The rotator for segments of more than 16 coordinates, the measurement of scales, and the front end as a whole.",
    "Queues of more than four places but the one in a block memory; the memories of the banks, and the lanes that raw "
    "rows are written to; the framer of raw rows, and what sends packed ones to memory, but for the rules of streams; "
    "the order of words through readers; which words the engine's beats read, that only their number is right.",
    "That a burst of results has as many beats of data as its address says; the AXI tops as a whole: soft reset, "
    "interrupts, what every register means.",
    "That a whole job ends: planner, readers, their port, engine, writer and registers are looked at one by one, each "
    "where those around it are quick or do anything. That no two of them wait for each other is no claim; but one that "
    "comes to a stop is told of, by the watchdog's. Sizes are small: a reader with words of 24 bits, bursts of 4 beats "
    "and a queue of 8; two readers at a port; a writer of one result a beat; an engine of 2×1 lean cells, two jobs of "
    "two tiles at most, banks of four words, no rows kept and no front end. That the framers and the front end never "
    "come to a stop, and that an answer of the bus with an error becomes the error that the registers then tell of, is "
    "simulated.",
    "Of the board's gateware: the UART, what brings operands out of its memory and results into it, memory and PLL; of "
    "the link that a CRC is right, that bytes stay as they are while they wait, what a command does: only that each "
    "frame is answered, once, and that nothing stops.",
    "Two-valued logic only. That after a reset no output is undefined, whatever the registers held, is simulated in "
    "four-valued logic, by Icarus Verilog: all tops of `tiny` and `small`, idle and with random inputs.",
    "Anything about timing, synthesis, or place and route.",
)
"""What no claim says."""


def page(report: Report, mutated: Report, met: Report, soak: Report) -> str:
    """The page, of the claims as they are and the report on them, and of the reports on mutants, cases and soaking.

    Raises
    ------
    GossetError
        If the report is not on these claims, or one of them is not as it should be.
    """
    groups, found = all_claims(), report["claims"]
    sentences = {claim.name: claim.sentence for group in groups.values() for claim in group}
    if any(sentences.get(name) != entry["claim"] for name, entry in found.items()):
        raise GossetError(
            "The claims have changed since the report was made: run make formal, then make the page anew."
        )
    if bad := [name for name, entry in found.items() if entry["status"] not in GOOD]:
        raise GossetError(f"{bad[0]} is {found[bad[0]]['status']}: there is no page of that.")
    seconds = sum(sum(entry["seconds"].values()) for entry in found.values())
    cases = sum(len(entry["reached"]) for entry in found.values())
    tools = ", ".join(f"{name} {version}" for name, version in report["about"]["solvers"].items())
    lines = [
        INTRODUCTION,
        f"**{len(found)} of {len(sentences)} claims hold, {cases} cases are reached, {len(found)} planted bugs are "
        f"found**: {seconds:,.0f} seconds of solvers in all ({tools}, {report['about']['yosys']}).",
        "",
    ]
    for group, claims in groups.items():
        lines += [f"## {group}", "", "| claim | what it says | how | is | proof | cases | bug found |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for claim in claims:
            if claim.name not in found:
                lines.append(f"| `{claim.name}` | {claim.sentence} | | not run yet | | | |")
                continue
            entry = found[claim.name]
            proof, covers, bug = (f"{entry['seconds'][part]:.1f} s" for part in ("proof", "covers", "bug"))
            reached = f"{'; '.join(entry['reached'])}: {covers}" if entry["reached"] else ""
            cells = (
                f"`{claim.name}`",
                claim.sentence,
                entry["method"],
                entry["status"],
                proof,
                reached,
                f"{entry['bug']}: {bug}",
            )
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    lines += [measured.mutants(mutated, json.loads(read_bytes(SURVIVORS))), measured.benches(met)]
    lines.append(measured.soaked(soak))
    return "\n".join([*lines, TRUSTED, "## What is not proved", "", *(f"- {gap}" for gap in NOT_PROVED), ""])


def stored() -> tuple[Report, Report, Report, Report]:
    """The reports that the page is made of."""
    proofs, mutated, met, soak = (json.loads(read_bytes(path)) for path in (PROOFS, MUTANTS, CASES, SOAK))
    return proofs, mutated, met, soak


def main(paths: list[str]) -> None:
    """Takes reports, also several of `make formal` and `make mutate`, each with some of the claims or units, and writes
    the page."""
    reports = [json.loads(read_bytes(path)) for path in paths]
    for path, part in ((PROOFS, "claims"), (MUTANTS, "units"), (SOAK, "products")):
        if new := [report for report in reports if part in report]:
            report = new[-1]
            if part in ("claims", "units"):
                found = {name: entry for each in new for name, entry in each[part].items()}
                claims = [claim.name for group in all_claims().values() for claim in group]
                names = claims if part == "claims" else measured.units()
                report = report | {part: {name: found[name] for name in names if name in found}}
            write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(PAGE, page(*stored()))


if __name__ == "__main__":
    main(sys.argv[1:])
