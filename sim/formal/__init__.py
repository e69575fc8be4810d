"""Proofs on the generated Verilog: what holds for all inputs, by a solver or by trying every case.

A `claim` is a sentence about a unit of `hw`, a circuit around the unit's Verilog that says when the sentence is broken,
a way to prove it, the cases that must be reachable, and a bug that the proof must find. `gosset formal` runs them.
"""
