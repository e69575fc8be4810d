"""Verilog in process: Verilator, the shared library it is built into, and the model that drives it.

Knows ports and streams of a design by its description; knows nothing of jobs or formats.
"""
