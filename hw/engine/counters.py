"""What every cycle of the accelerator counts as."""

COUNTERS = ("busy", "x_late", "w_late", "drain_blocked", "idle")
"""Every cycle counts under exactly one of these names: a beat went in; the job's activations were not all there; the
tile's or slice's weights were not; the beat had to wait for the way out; there was no job."""

COUNTER_BITS = 32
