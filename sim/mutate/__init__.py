"""How much the testbenches see: mutants of the generated Verilog, and whether each of them is found."""
