"""Bundles as a service: HTTP in, batches through the engine, answers that say which model gave them."""
