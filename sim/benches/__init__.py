"""The cocotb side of the testbenches: what runs inside the simulation. `sim.bench` builds and starts it."""
