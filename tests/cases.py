"""docs/cases.json: which cases the testbenches meet, and how much of the Verilog they go through, on small designs.

`python -m tests.cases` takes some minutes.
"""

import json
import sys
from collections import Counter

from fpga.benches.catalogue import ONE_CELL, add
from golden.files import write_text
from golden.quality.provenance import provenance
from golden.terminal import console
from sim.benches.catalogue import BENCHES, LEAN, MULTIPLYING, SMALL, STATIONARY
from sim.benches.runner import SEED, run_bench
from sim.mutate.units import CONTROLLED
from tests import proofs

DESIGNS = {
    SMALL: tuple(BENCHES),
    STATIONARY: ("accelerator", "front_end", "axi_memory", "axi_stream", "axi_raw"),
    LEAN: ("decoder", "cell"),
    MULTIPLYING: ("cell", "array"),
    CONTROLLED: ("control",),
    ONE_CELL: ("link", "uart"),
}
"""Designs and testbenches."""

BLOCKS = 200
"""In each test, more or less; a testbench of buses has 50."""


def main() -> None:
    """Runs them, and writes the page anew."""
    add()
    found, failed = [], 0
    for design, names in DESIGNS.items():
        for name in filter(lambda name: BENCHES[name].applies(design), names):
            result = run_bench(name, design, blocks=min(BLOCKS, BENCHES[name].blocks), covers=True)
            console.print(str(result), soft_wrap=True, highlight=False)
            failed += result.failed
            kept = ("name", "design", "blocks", "passed", "checked", "cases")
            assert result.coverage
            never = Counter(point.partition(":")[0] for point in result.coverage.never)
            coverage = vars(result.coverage) | {"never": never}
            found.append({key: getattr(result, key) for key in kept} | {"coverage": coverage})
    if failed:
        sys.exit(1)
    report = {"about": provenance("cocotb", "verilator"), "seed": SEED, "benches": found}
    write_text(proofs.CASES, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    proofs.main([])


if __name__ == "__main__":
    main()
