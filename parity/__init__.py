"""Proof that the networks here are the published ones: the sources' own code, run on the same seeded tensors."""
