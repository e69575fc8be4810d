"""How much the testbenches see: mutants of the generated Verilog, and whether each of them is found.

Knows the testbenches, the text of Verilog and the claims that are proved; knows nothing of how a unit is described.
"""
