"""Commands behind `make`: set-up, deployment, status, health and clean-up. None of it is needed by
plain `pulumi`.
"""
