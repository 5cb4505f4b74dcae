"""What a person asks for by `make`."""
