"""The project that the benchmarks build."""
