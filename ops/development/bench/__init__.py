"""Benchmarks: a deployed stack, and the same containers under other tools. They assert nothing."""
