"""Quantization to int8, behind a gate on accuracy."""
