"""Pages and pictures of results, read from the rooms below."""
