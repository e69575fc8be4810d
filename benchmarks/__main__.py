"""Runs every benchmark."""

from benchmarks import golden_codec, simulators

if __name__ == "__main__":
    simulators.main()
    golden_codec.main()
