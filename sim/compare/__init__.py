"""The comparison: the same products by software on this machine, by the hardware's models, and by stored results.

Knows kernels, workloads, studies and silicon; knows no boards but by a table of their numbers.
"""
