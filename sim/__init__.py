"""The simulation: Verilated models, testbenches, the cycle model, and the device interface that all backends share.

Knows golden and hw; knows nothing of boards.
"""
