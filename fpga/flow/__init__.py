"""From gateware to bitstreams, areas and frequencies: synthesis, place and route.

Knows the tools; knows nothing of the host.
"""
