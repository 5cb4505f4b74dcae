"""Targets: where services become resources. A target knows nothing of any particular service."""
