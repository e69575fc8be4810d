"""The testbenches: what is tested by which one, and their runner; `inside` runs in the simulation, under cocotb.

Knows designs and golden's results; only `inside` knows cocotb.
"""
