"""The Open Inference Protocol v2 over HTTP: its documents and tensors, without a server, a client or a network."""
