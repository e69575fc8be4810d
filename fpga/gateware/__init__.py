"""What is on the FPGA around the accelerator: clock, serial line, link, memory.

Knows boards and the link's contract; knows nothing of the host or of tools.
"""
