"""Random products on random designs, for as long as one likes: everything that comes out is compared with golden.

Knows designs, jobs and the Verilated accelerator; knows no testbenches and no signals.
"""
