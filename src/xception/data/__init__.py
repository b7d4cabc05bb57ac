"""Data sources, and the decoding of images."""
