"""Conversion of any published checkpoint to a bundle."""
