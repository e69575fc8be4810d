"""Speed of the cycle model: pairs of a design point and a product per second, on one core.

python -m benchmarks.cycle_model
"""

import time

import numpy as np

from hw.design import DesignPoint
from sim.models.cycles import Memory, cycles
from sim.models.schedule import Machine

PAIRS = 1_000_000


def main() -> None:
    """Measures and prints."""
    rng = np.random.default_rng(0)
    edges, flows = (1, 2, 4, 8, 16, 32), ("os", "ws")
    designs = [
        DesignPoint(name="d", rows=rows, cols=cols, dataflow=flow, x_depth=8192, w_depth=2048 if flow == "os" else 0)
        for rows in edges
        for cols in edges
        for flow in flows
    ]
    every, chosen = Machine.of(*designs), rng.integers(0, len(designs), PAIRS)
    machine = Machine(*(np.asarray(getattr(every, name))[chosen] for name in Machine.__dataclass_fields__))
    n, k = rng.integers(1, 16385, PAIRS), 8 * rng.integers(1, 1793, PAIRS)
    memory = Memory(*rng.integers(1, 4, (2, PAIRS)))
    for rows in (64, 1024):
        m = rng.integers(1, rows + 1, PAIRS)
        cycles(Machine.of(designs[0]), 1, 1, 8)  # compiled before the clock starts
        start = time.process_time()
        counted = cycles(machine, m, n, k, memory=memory)
        seconds = time.process_time() - start
        print(
            f"cycle model, {len(designs)} designs, M up to {rows:5d}, N and K up to 16,384: "
            f"{PAIRS / seconds / 1e6:.2f} M pairs per second of one core; {counted.cycles.sum():.2e} cycles"
        )


if __name__ == "__main__":
    main()
