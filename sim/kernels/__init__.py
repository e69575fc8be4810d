"""Products of packed matrices on processors: generated logic, C++ that is compiled on demand, and the encoder."""
