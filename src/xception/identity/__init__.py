"""Identity: the description of a model inside of its weights or graph file."""
