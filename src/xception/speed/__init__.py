"""Measurements of speed: benchmarks, races between models, audits of both."""
