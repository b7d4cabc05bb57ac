"""Training: recipes, the loop, and checkpoints."""
