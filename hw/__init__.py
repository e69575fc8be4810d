"""The hardware: Amaranth descriptions and the design points they are generated from.

Imports the format's parameters from `golden`; knows nothing of simulators or boards.
"""
