"""The runtime of a Docker host."""

from infra.spec import Runtime

RUNTIME = Runtime(log_folder="/var/lib/docker/containers", log_format="docker")
