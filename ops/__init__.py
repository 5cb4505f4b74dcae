"""Commands behind `make`: set-up, deployment, status, health and clean-up. Plain `pulumi` needs
none of it.
"""
