"""A simulated fleet on real servers: what `make demo` runs."""
