"""The simulation: Verilated models, testbenches and the device interface that golden, RTL and boards share."""
