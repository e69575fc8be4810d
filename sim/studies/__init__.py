"""Exploration: from a network and a budget to the designs that nothing else beats.

Knows workloads, the cycle model and the tables of measured units; knows no boards but by their numbers.
"""
