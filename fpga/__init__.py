"""The boards: what is on each, the link to it, its gateware, its bitstream and its driver.

Knows hw, golden and the device interface of sim; nothing imports it. On top: the boards, and the contract of the link,
which gateware and host share.
"""
