"""How the tests' processes run, one on each processor."""

import gc
import os

# Threads of linear algebra would only wait for one another: they double the time of tests that train networks.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Designs are many objects that stay; to look through them for garbage again and again is a twentieth of the time.
gc.set_threshold(100_000, 20, 20)
