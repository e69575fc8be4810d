"""The other end of the line: driver, device, workloads, and boards that are simulated.

Knows the link's contract; of gateware only what a simulated board is made of.
"""
