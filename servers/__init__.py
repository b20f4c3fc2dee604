"""Real servers for the demo, the tests and the benchmarks: how each is installed, started, checked and stopped."""
