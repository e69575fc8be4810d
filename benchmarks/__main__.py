"""Runs every benchmark."""

from benchmarks import cpu_kernels, cycle_model, golden_codec, simulators

if __name__ == "__main__":
    simulators.main()
    cycle_model.main()
    golden_codec.main()
    cpu_kernels.main()
