"""What one does with a model: predict, evaluate, benchmark."""
