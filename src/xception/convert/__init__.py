"""From any published checkpoint to a bundle."""
