"""Runs every benchmark."""

from benchmarks import cycle_model, golden_codec, simulators

if __name__ == "__main__":
    simulators.main()
    cycle_model.main()
    golden_codec.main()
