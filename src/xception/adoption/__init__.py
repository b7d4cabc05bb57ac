"""Adoption: bundles made from graphs that somebody else exported, after inspecting them."""
