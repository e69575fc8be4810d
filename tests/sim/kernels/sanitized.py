"""Kernels (of one rate) and encoder with sanitizers; `test_sanitizers` runs this file in a process of its own."""

import sys

import numpy as np

from golden.format import Format
from golden.matmul import matmul
from golden.quantize import quantize
from sim.kernels import library
from sim.kernels.encoder import chooser
from sim.kernels.product import Kernels
from tests.sim.kernels.test_product import random_int8, random_packed

library.FLAGS = (*library.FLAGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-DGOSSET_ONLY=4")
path = sys.argv[1]
kernels, rng = Kernels(path, threads=2), np.random.default_rng(0)
for betas in ((1,), (1, 2), (3, 4, 5, 7), (1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 5, 6, 7, 15)):
    for m, n, k in ((1, 1, 1), (1, 33, 300), (3, 17, 300), (7, 65, 513)):
        w = random_packed(Format(16, betas), n, k, rng)
        for x in (random_int8(m, k, rng), random_packed(Format(16, (15,)), m, k, rng)):
            for laid in (kernels.lay(w), kernels.straight(w)):
                assert (laid.matmul(x) == matmul(x, w).result).all()
for q in (2, 4, 8, 16, 32, 64):
    x = rng.normal(size=(3, 300))
    assert (quantize(x, Format(q), rounding=chooser(path)).labels == quantize(x, Format(q)).labels).all()
