"""The evidence: distortion against the bound, hostile matrices, real networks, and where each figure comes from.

Knows every format of golden, rivals included; no rule of the format is made here, and no contract imports it.
"""
