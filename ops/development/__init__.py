"""Development: tests, lock files, generated documents, benchmarks."""
