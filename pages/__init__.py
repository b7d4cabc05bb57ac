"""Pages and tables that are made from the code: `python -m pages` writes them all, and tests hold them to it."""
