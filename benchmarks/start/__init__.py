"""Seconds from the command to the first update."""
