"""A Docker host."""
