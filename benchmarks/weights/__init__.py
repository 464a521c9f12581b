"""Seconds of a weight push by model size, against a copy of the same bytes."""
