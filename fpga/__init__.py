"""The boards: bitstreams, the host link and its driver."""
