"""Checkpoint directories: made from nothing, converted, and with value heads beside the model."""
