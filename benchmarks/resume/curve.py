"""The curve of a run: its metrics without those that measure time."""

import json
from pathlib import Path

from lmrl.runs.names import METRICS

TIMED = ("time", "seconds", "per_s", "_ms")
"""Ends of the names of metrics that measure time."""


def lines(folder: Path) -> list[dict[str, float]]:
    """Return the lines of a run's metrics; none before its first update."""
    path = folder / METRICS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def curve(folder: Path) -> list[dict[str, float]]:
    """Return the metrics of each line that a run with the same seed has again, bit by bit."""
    return [{k: v for k, v in row.items() if not k.endswith(TIMED)} for row in lines(folder)]
