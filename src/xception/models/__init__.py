"""The specification as torch modules."""
