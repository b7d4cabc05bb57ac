"""Packs: folders with everything that the compiler of a vendor's chip needs."""
