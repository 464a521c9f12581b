"""Run directories: the names in them, their beginning and end, and what a run records."""
