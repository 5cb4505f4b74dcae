"""Where a platform runs: for each target its facts, its checks, and its resources."""
