"""Real servers for the demo, the tests and the benchmarks: how each is got, started, checked and stopped."""
