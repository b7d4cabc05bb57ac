"""Folders to carry to the machine with the chip: everything up to where the vendor's own compiler begins."""
