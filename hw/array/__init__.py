"""The two arrays of rows × cols dot-8 cells: decoded blocks in, rows of accumulators out, in fixed time.

Knows operands and their arithmetic; knows nothing of labels, memories or jobs. Nothing in an array can stall: whoever
sends a block whose arrival finishes accumulators must have room for them.
"""
