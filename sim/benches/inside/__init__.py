"""What runs inside a simulation: the tests of each bench, `*_tests.py`, and the drivers and monitors they share.

Knows cocotb and the settings of its run; knows nothing of how it was built.
"""
