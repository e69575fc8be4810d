"""Workloads: the matrix products of networks, read from their own files or made up by hand.

Knows formats of networks and rates of numbers; knows no design and no cycles.
"""
