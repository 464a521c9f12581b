"""Describe a data set: counts, returns, lengths and one transcript."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from lmrl.data.published import of_task
from lmrl.data.store import load
from lmrl.errors import DataError
from lmrl.trajectory import PLAYED, Trajectory, transcript

OPEN = re.compile(
    r"\W*((so|and|well|ok|okay),? )?"
    r"(what|which|where|who|when|why|how|(in|on|at|to) (what|which))\b.*\?\s*$",
    re.I,
)
"""An action that is an open question."""


def describe(source: Path) -> dict[str, Any]:
    """Return counts, returns, lengths and one transcript of a data set, read as a stream.

    `success` has the share of successes for each task that reports any. `actions` has the number of
    distinct actions over that of all, the share of questions, and of open ones among them.
    `published` has the paper's figures for each task in it; None for a task without published data.

    Raises:
        DataError: if there is no episode, or as `load` does.
    """
    returns: list[float] = []
    lengths: list[int] = []
    endings: dict[str, int] = {}
    players: dict[str, int] = {}
    tasks: dict[str, int] = {}
    successes: dict[str, list[bool]] = {}
    said: set[int] = set()
    asked = opened = 0
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
        if "success" in trajectory.info:
            played = trajectory.info.get(PLAYED, trajectory.task)
            successes.setdefault(str(played), []).append(bool(trajectory.info["success"]))
        for turn in trajectory.turns:
            said.add(hash(turn.action))
            asked += turn.action.rstrip().endswith("?")
            opened += bool(OPEN.match(turn.action))
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
        "success": {task: float(np.mean(found)) for task, found in sorted(successes.items())},
        "actions": {
            "distinct": len(said) / max(1, int(np.sum(lengths))),
            "questions": asked / max(1, int(np.sum(lengths))),
            "open_questions": opened / max(1, asked),
        },
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
