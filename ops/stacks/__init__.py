"""What drives Pulumi: a stack's configuration, keys, state, lock, and what a run says."""
