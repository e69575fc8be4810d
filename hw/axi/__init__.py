"""The accelerator in a system: AXI4-Lite registers, an AXI4 master and AXI4-Stream.

Knows the engine; whatever is not about a bus belongs there.
"""
