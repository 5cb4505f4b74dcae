"""Pulumi's driver: a stack's configuration, keys, state, lock, and the output of a run."""
