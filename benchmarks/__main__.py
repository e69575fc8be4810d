"""Runs every benchmark."""

from benchmarks import cpu_kernels, cycle_model, explorer, golden_codec, page, simulators, zigzag_dse
from golden.exits import ending


def main() -> None:
    """Runs them one after the other, so that none slows another down."""
    simulators.main()
    cycle_model.main()
    explorer.main()
    zigzag_dse.main()
    page.main()
    golden_codec.main()
    cpu_kernels.main()


if __name__ == "__main__":
    ending("benchmarks", main)
