"""Speed of exploration: points with all objectives per second, on one core.

python -m benchmarks.explorer
"""

import resource
import time
from pathlib import Path

from sim.studies.explore import explore
from sim.studies.study import Study

SWEEP = str(Path(__file__).with_name("sweep.toml"))


def main() -> None:
    """Measures and prints."""
    explore(Study.load("llm-decode"))  # compiled, and the formats' quality known, before the clock starts
    for name in ("llm-decode", SWEEP):
        study = Study.load(name)
        start = time.process_time()
        found = explore(study)
        seconds = time.process_time() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"explorer, {Path(name).stem}: {found.evaluated:,} points of {len(study.workload.layers)} layers, "
            f"{', '.join(study.objectives)}, front of {len(found.ids):,}: "
            f"{found.evaluated / seconds / 1e6:.2f} M points per second of one core, {memory} MiB"
        )


if __name__ == "__main__":
    main()
