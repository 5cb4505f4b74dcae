"""A single-node Kubernetes from packages, in namespaces of its own, for the tests where no cluster
is given.
"""
