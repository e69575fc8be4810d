"""What runs in the simulation of a testbench, under cocotb: one module `*_tests` for each bench, and what they share.

Knows signals, `sim.benches.inside` and the board in Python; knows nothing of how the simulation is built.
"""
