"""The testbenches of the gateware: what speaks the protocol, and the UART in front of it; `inside` runs under cocotb.

Knows the gateware and the board in Python that it must equal; knows nothing of flows and of what is behind a line.
"""
