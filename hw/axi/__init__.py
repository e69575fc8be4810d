"""What stands between the engine and a system: AXI4-Lite control, AXI4-Stream and AXI4 data ports."""
