"""Docker engines of the tests' own: today's, built from Go modules, and the distribution's.

Each has its own folders, socket and network, so that it can run beside an engine that this machine
already has, and does not change that one.
"""
