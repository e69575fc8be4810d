"""Designs synthesised as a whole, to which areas are fitted; `python -m tests.sim.studies.wholes` measures them anew.

It needs ASAP7's liberty files in $GOSSET_PDK. What was measured already is in build/wholes.sqlite.
"""

import json
from pathlib import Path

from golden.files import write_text
from golden.terminal import progress
from sim.provenance import provenance
from sim.silicon.technologies import libraries
from sim.studies import synthesis
from sim.studies.cells import TABLES
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
)
"""Format, rows, columns, dataflow, words of the banks of activations, rows of a job, words of the banks of weights."""


def settings(format, rows, cols, dataflow, x_depth, panel_rows, w_depth):
    made = {name: values[0] for name, values in DEFAULTS.items()}
    made |= {"format": format, "rows": rows, "cols": cols, "dataflow": dataflow}
    return made | {"x_depth": x_depth, "panel_rows": panel_rows, "w_depth": w_depth}


def main():
    liberty, store, rows = libraries("asap7"), Store(Path("build/wholes.sqlite")), []
    with progress("designs", len(DESIGNS)) as advance:
        for design in DESIGNS:
            setting = settings(*design)
            inputs = synthesis.inputs_of(design_of(setting), liberty)
            found = store.get(key_of(inputs))
            if found is None:
                found = synthesis.cells(inputs, liberty)
                store.put(key_of(inputs), inputs, found)
            kept = {
                name: setting[name]
                for name in ("format", "rows", "cols", "dataflow", "panel_rows", "x_depth", "w_depth")
            }
            rows.append(kept | found)
            advance(1)
    about = {key: inputs[key] for key in ("script", "tools", "library")} | {"commit": provenance()["commit"]}
    write_text(
        TABLES / "asap7.json", json.dumps({"about": about, "designs": rows}, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main()
