"""Names and layouts that each source gives to the tensors of a network, and the way from them to the canonical ones."""
