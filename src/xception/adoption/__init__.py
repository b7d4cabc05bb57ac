"""Adoption: a bundle of a graph that somebody else exported, after a look at it and a few questions."""
