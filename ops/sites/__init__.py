"""Where stacks run: what a Docker host and a cluster have in common, and each of them."""
