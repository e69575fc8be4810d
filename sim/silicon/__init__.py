"""Area, delay and energy in standard cells: synthesis against a user's liberty files, gate-level simulation, tables."""
