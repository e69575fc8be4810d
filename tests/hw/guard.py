"""The guard on the hardware: a hash of every module that is generated, for presets, buses, front ends and boards.

`make accept` (`python -m tests.hw.guard`) writes them to `verilog.sha256`, so that the diff of a commit says what
hardware it changes. What is hashed is the RTLIL that Amaranth hands to yosys: that depends on the version of Amaranth,
and on none of yosys.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import hw.units
from fpga.boards import BOARDS
from fpga.gateware.top import BoardTop
from golden.files import write_text
from golden.frontend import FrontEndRules
from hw.design import PRESETS, DesignPoint
from hw.generate import AXI_TOPS, generate_axi, generate_design

FILE = Path(__file__).with_name("verilog.sha256")
"""Lines of a hash and what it is of: a subject and a module of it."""

AMARANTH = f"amaranth {version('amaranth')}"
"""What made the RTLIL: the first line."""

FRONT_ENDS = {
    "raw_host": FrontEndRules(length=16, candidates="serial"),
    "raw_rms": FrontEndRules(length=16, scale="rms", row_blocks=32),
}


def _streams(design: DesignPoint) -> None:
    generate_design.__wrapped__(design)


def _bus(design: DesignPoint, kind: str) -> None:
    generate_axi.__wrapped__(design, kind)


def _board(name: str) -> dict[str, str]:
    """What is around the core; of an Arty only in Verilog, which depends on yosys and is left out."""
    plan = BOARDS[name].platform().prepare(BoardTop(BOARDS[name]), name, emit_src=False)
    return {file: plan.files[file] for file in plan.files if file.endswith(".il")}


SUBJECTS: dict[str, Callable[[], object]] = {
    **{name: lambda design=design: _streams(design) for name, design in PRESETS.items()},
    **{
        f"{name} {bus}": lambda design=design, bus=bus: _bus(design, bus)
        for name, design in PRESETS.items()
        for bus in AXI_TOPS
    },
    **{
        f"{name} axis": lambda name=name, rules=rules: _bus(
            replace(PRESETS["tiny"], name=name, front_end=rules), "axis"
        )
        for name, rules in FRONT_ENDS.items()
    },
    **{f"board {name}": lambda name=name: _board(name) for name in BOARDS},
}
"""What generates each subject, by its name."""


@contextmanager
def recorded() -> Iterator[dict[str, str]]:
    """Collects what would go to yosys, by name, and has no Verilog made of it."""
    sources: dict[str, str] = {}

    def record(source: str, name: str) -> str:
        sources[name] = source
        return ""

    with mock.patch.object(hw.units, "rtlil_to_verilog", record):
        yield sources


def hashes(subject: str) -> dict[str, str]:
    """SHA-256 of each module of a subject, by its name."""
    with recorded() as sources:
        made = SUBJECTS[subject]()
    texts = [*sources.values(), *(made.values() if isinstance(made, dict) else ())]
    modules = [found for text in texts for found in re.findall(r"^module \\(\S+)\n(.*?)^end$", text, re.M | re.S)]
    return {name: hashlib.sha256(body.encode()).hexdigest() for name, body in modules}


def accepted() -> tuple[str, dict[str, dict[str, str]]]:
    """What is in the file: what made it, and the hashes by subject and module."""
    made_by, *lines = FILE.read_text().splitlines()
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        digest, subject, module = line.split("  ")
        found.setdefault(subject, {})[module] = digest
    return made_by, found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The modules that differ: changed, new, or gone."""
    names = before.keys() | after.keys()
    return sorted(
        f"{name} ({'new' if name not in before else 'gone' if name not in after else 'changed'})"
        for name in names
        if before.get(name) != after.get(name)
    )


def main() -> None:
    """Accepts the hardware as it is now, and says what changed."""
    before = accepted()[1] if FILE.exists() else {}
    now = {subject: hashes(subject) for subject in SUBJECTS}
    lines = [f"{digest}  {subject}  {module}" for subject, modules in now.items() for module, digest in modules.items()]
    write_text(FILE, "\n".join([AMARANTH, *lines, ""]))
    for subject, modules in now.items():
        if changed := changes(before.get(subject, {}), modules):
            print(f"{subject}: {', '.join(changed)}")


if __name__ == "__main__":
    main()
