"""Measurements of models: every architecture, and the memory of a small pretrained one."""
