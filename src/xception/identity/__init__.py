"""Identity: what a weights or graph file says of itself, so that it is known wherever it is copied to."""
