"""Whose resources the tests' platforms are."""

from infra.identity import Identity

IDENTITY = Identity(project="groundwork", stack="dev", instance="abc123", master="feedfacefeed")
