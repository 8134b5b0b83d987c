"""Benchmarks of the engine beside other ways to generate, and the plan of a run."""
