"""Bundles as a service: HTTP requests are answered in batches, and every reply names its model."""
