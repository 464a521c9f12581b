"""Preparation of a run: Ray, the start policy, and the actors."""
