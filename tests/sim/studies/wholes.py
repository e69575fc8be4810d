"""Designs synthesised as a whole, to which areas are fitted: `python -m tests.sim.studies.wholes` measures those that
the table lacks, as a new one, or one that was taken out of it to be measured anew.

It needs ASAP7's liberty files in $GOSSET_PDK. What was measured already is in build/wholes.sqlite, a store as that of
`gosset explore --synthesise`. Each row of the table says at which commit it was measured.
"""

import json
from pathlib import Path

from golden.files import write_text
from golden.terminal import progress
from sim.provenance import provenance
from sim.silicon.technologies import libraries
from sim.studies import synthesis
from sim.studies.cells import TABLES, designs
from sim.studies.explore import design_of
from sim.studies.store import Store, key_of
from sim.studies.study import DEFAULTS

DESIGNS = (
    ("E8 q = 4, lean", 1, 1, "os", 64, 64, 64),
    ("E8 q = 16, lean", 1, 1, "ws", 256, 64, 256),
    ("E8 q = 16, deep", 1, 1, "os", 256, 64, 256),
    ("E8 q = 16, lean", 2, 2, "os", 256, 64, 256),
    ("E8 q = 8, lean", 1, 8, "ws", 256, 64, 256),
    ("E8 q = 8, deep", 1, 2, "ws", 1024, 64, 1024),
    ("E8 q = 4, lean", 2, 4, "ws", 256, 64, 256),
    ("E8 q = 4, lean", 4, 4, "os", 1024, 64, 1024),
    ("E8 q = 16, lean", 2, 2, "ws", 64, 64, 64),
    ("E8 q = 8, lean", 1, 4, "os", 256, 64, 256),
    ("E8 q = 4, lean", 1, 1, "ws", 1024, 64, 1024),
    ("E8 q = 16, deep", 2, 2, "os", 64, 64, 64),
    ("E8 q = 4, deep", 2, 2, "ws", 256, 64, 256),
    ("E8 q = 4, lean", 1, 1, "ws", 64, 4, 64),
    ("E8 q = 8, lean", 1, 1, "os", 16, 4, 16),
    ("E8 q = 4, lean", 1, 1, "os", 16, 4, 16),
    ("E8 q = 16, lean", 1, 1, "ws", 32, 4, 32),
    ("E8 q = 16, lean", 1, 1, "os", 16, 4, 16),
    ("E8 q = 4, deep", 2, 2, "ws", 32, 4, 16),
    ("E8 q = 8, deep", 2, 2, "os", 32, 4, 16),
    ("E8 q = 16, β 4, lean", 1, 1, "os", 16, 4, 16),
    ("E8 q = 4, lean", 1, 1, "ws", 32, 4, 16),
    ("E8 q = 8, lean", 1, 1, "os", 32, 4, 16),
    ("E8 q = 16, β 4, lean", 1, 1, "os", 32, 4, 16),
    ("E8 q = 16, lean", 1, 1, "ws", 32, 4, 16),
    ("E8 q = 4, lean", 1, 1, "os", 64, 4, 16),
    ("E8 q = 8, lean", 1, 1, "ws", 64, 4, 16),
    ("E8 q = 16, lean", 2, 1, "os", 16, 4, 16),
    ("E8 q = 4, lean", 1, 2, "ws", 64, 4, 16),
)
"""Format, rows, columns, dataflow, words of the banks of activations, rows of a job, words of the banks of weights."""


NAMES = ("format", "rows", "cols", "dataflow", "panel_rows", "x_depth", "w_depth")


def settings(format, rows, cols, dataflow, x_depth, panel_rows, w_depth):
    made = {name: values[0] for name, values in DEFAULTS.items()}
    made |= {"format": format, "rows": rows, "cols": cols, "dataflow": dataflow}
    return made | {"x_depth": x_depth, "panel_rows": panel_rows, "w_depth": w_depth}


def main():
    liberty, store, rows = libraries("asap7"), Store(Path("build/wholes.sqlite")), []
    there, commit = {tuple(row[name] for name in NAMES): row for row in designs("asap7")}, provenance()["commit"]
    with progress("designs", len(DESIGNS)) as advance:
        for design in DESIGNS:
            setting = settings(*design)
            key = tuple(setting[name] for name in NAMES)
            if key in there:
                rows.append(there[key])
                advance(1)
                continue
            inputs = synthesis.inputs_of(design_of(setting), liberty)
            found = store.get(key_of(inputs))
            if found is None:
                found = synthesis.cells(inputs, liberty)
                store.put(key_of(inputs), inputs, found)
            rows.append(dict(zip(NAMES, key, strict=True)) | found | {"commit": commit})
            advance(1)
    inputs = synthesis.inputs_of(design_of(settings(*DESIGNS[0])), liberty)
    about = {key: inputs[key] for key in ("script", "tools", "library")}
    write_text(
        TABLES / "asap7.json", json.dumps({"about": about, "designs": rows}, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main()
