"""Tools and images, downloaded or built from packages."""
