"""All services of a stack, one module each."""
