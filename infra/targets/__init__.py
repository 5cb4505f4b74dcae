"""Targets: for each its facts, checks and resources."""
