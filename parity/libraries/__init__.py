"""The libraries that the sources prepare images with, each a script for its own environment."""
