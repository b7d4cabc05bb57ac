"""Sessions: loaded models that map pixels to logits."""
