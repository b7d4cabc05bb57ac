"""Read, preprocess, infer, postprocess, sink: written once."""
