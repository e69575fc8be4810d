"""Between labels and lattice points: decoder, encoder, and the front end that rotates and packs raw activations.

Knows the packed format; knows nothing of arrays, memories or jobs.
"""
