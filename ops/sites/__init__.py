"""Sites: a Docker host and a cluster, behind one interface."""
