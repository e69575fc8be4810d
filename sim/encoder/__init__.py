"""A layer of an encoder on the simulated accelerator, from memory to memory.

Knows the models, the devices and golden's encoder. Must not know boards, testbenches or studies.
"""
