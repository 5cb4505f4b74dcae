"""What serves the work on Groundwork itself."""
