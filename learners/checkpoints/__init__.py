"""Checkpoint directories: random models, converted models, and value-guided policies."""
