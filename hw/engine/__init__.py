"""From jobs to accumulators: planner, memory banks, sequencer, and the accelerator with bare streams.

Knows codec and arrays; knows nothing of buses.
"""
