"""Scaling of the whole system: measured on this machine, and predicted for larger ones."""
