"""The golden model: the lattice, the packed format, the quantiser and the exact-integer product, in NumPy.

Knows nothing of RTL, simulators or boards; everything else imports its rules from here. `golden.rivals` has other
formats behind the same small protocol, `golden.quality` the evidence for all of them.
"""
