"""Describe a data set: counts, returns, lengths and one transcript."""

from pathlib import Path
from typing import Any

import numpy as np

from lmrl.data.published import of_task
from lmrl.data.store import load
from lmrl.errors import DataError
from lmrl.trajectory import Trajectory, transcript


def describe(source: Path) -> dict[str, Any]:
    """Return counts, returns, lengths and one transcript of a data set, read as a stream.

    `published` has the paper's figures for each task in it; None for a task without published data.

    Raises:
        DataError: if there is no episode, or as `load` does.
    """
    returns: list[float] = []
    lengths: list[int] = []
    endings: dict[str, int] = {}
    players: dict[str, int] = {}
    tasks: dict[str, int] = {}
    example: Trajectory | None = None
    for trajectory in load(source):
        returns.append(trajectory.total_reward)
        lengths.append(len(trajectory.turns))
        for counts, key in (
            (endings, trajectory.ending),
            (players, trajectory.player),
            (tasks, trajectory.task),
        ):
            counts[key] = counts.get(key, 0) + 1
        if example is None or len(trajectory.turns) < len(example.turns):
            example = trajectory
    if not returns:
        raise DataError(f"{source} has no episode")
    heights, edges = np.histogram(returns, bins=10)
    return {
        "episodes": len(returns),
        "tasks": tasks,
        "players": players,
        "endings": endings,
        "turns": int(np.sum(lengths)),
        "return": _summary(returns),
        "length": _summary(lengths),
        "published": {task: of_task(task) for task in sorted(tasks)},
        "histogram": {"counts": heights.tolist(), "edges": edges.tolist()},
        "transcript": transcript(example) if example else "",
    }


def _summary(values: list[Any]) -> dict[str, float]:
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "min": float(np.min(values)),
        "max": float(np.max(values)),
    }
