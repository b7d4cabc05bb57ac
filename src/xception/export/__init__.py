"""Exports of a bundle's network to other formats."""
