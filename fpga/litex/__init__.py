"""An example of a system on chip: LiteX with a processor, the SDRAM of ULX3S, and the accelerator, in simulation.

Knows the accelerator by what `hw.generate` writes of it: Verilog, ports, and the driver in C.
"""
