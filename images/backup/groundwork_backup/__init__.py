"""Backup and restore of a stack's stores, from inside the stack.

Runs in the container `backup`; every store is reached as its clients reach it, so that the same
program works on a Docker host and in a cluster.
"""
