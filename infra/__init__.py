"""The Pulumi program: one stack's configuration in, one platform out."""
