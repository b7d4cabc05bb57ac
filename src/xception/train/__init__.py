"""Recipes, the loop, and checkpoints."""
