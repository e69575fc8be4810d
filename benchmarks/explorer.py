"""Speed of exploration: points with all objectives per second, on one core.

python -m benchmarks.explorer
"""

import time

from sim.studies.explore import explore
from sim.studies.study import Study


def main() -> None:
    """Measures and prints."""
    for name in ("llm-decode", "ulx3s-sdram"):
        study = Study.load(name)
        explore(study)  # compiled before the clock starts
        start = time.process_time()
        found = explore(study)
        seconds = time.process_time() - start
        layers = len(study.workload.layers)
        print(
            f"explorer, {name}: {found.evaluated:,} points of {layers} layers, {', '.join(study.objectives)} and the "
            f"front of {len(found.ids):,}: {found.evaluated / seconds / 1e6:.2f} M points per second of one core"
        )


if __name__ == "__main__":
    main()
