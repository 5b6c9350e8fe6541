"""Known distributions that draw fresh atoms, for tests and benchmarks."""
