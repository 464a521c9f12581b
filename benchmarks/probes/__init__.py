"""Cheap measures of what the data of each task test.

- `maze`: tabular clones and tabular Q-learning on the data of the mazes.
- `__main__`: `python -m benchmarks.probes`.
"""
