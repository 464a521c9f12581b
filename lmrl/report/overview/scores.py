"""The bars of scores: those of the runs' policies, and the paper's beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lmrl.data.store import stored_returns, stored_seeds
from lmrl.env import ScoreRange
from lmrl.errors import DataError
from lmrl.report.environments import Environments
from lmrl.report.overview.groups import Group
from lmrl.report.overview.runs import RunData, ScoreRow
from lmrl.runs.names import episodes_file, evaluated
from lmrl.scoring.intervals import MIN_RUNS, RunScores, mean_figure, mean_interval
from lmrl.scoring.published import COLUMNS, PUBLISHED_SCORES, RETURNS_SOURCE
from lmrl.scoring.score import normalised

MAX_POLICIES = 40
"""Most policies of a group that have a bar."""


def score_blocks(
    runs: Sequence[RunData], groups: Sequence[Group], environments: Environments
) -> list[dict[str, Any]]:
    """Return the bars of each task with its options, as JSON values.

    Args:
        runs: the runs.
        groups: groups of the runs.
        environments: tasks, for the range of their scores.
    """
    blocks: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        run = runs[group.runs[0]]
        blocks.setdefault(f"{run.task} {sorted(run.options.items(), key=str)}", []).append(number)
    return [
        _block(runs, groups, numbers, environments)
        for numbers in blocks.values()
        if any(runs[i].finals for n in numbers for i in groups[n].runs)
    ]


def _block(
    runs: Sequence[RunData],
    groups: Sequence[Group],
    numbers: list[int],
    environments: Environments,
) -> dict[str, Any]:
    first = runs[groups[numbers[0]].runs[0]]
    limits = environments.limits(first.task, first.options)
    rows = [row for number in numbers for row in _bars(runs, groups[number], number, limits)]
    published, note = _published(first, limits)
    title = first.task
    if first.options:
        title += ", " + ", ".join(f"{name} {value}" for name, value in first.options.items())
    return {
        "title": title[:200],
        "range": None if limits is None else list(limits),
        "rows": _without_repeats(rows),
        "published": published,
        "note": note,
    }


def _bars(
    runs: Sequence[RunData], group: Group, number: int, limits: ScoreRange | None
) -> list[dict[str, Any]]:
    """Return a bar for each policy of a group."""
    labels = dict.fromkeys(label for i in group.runs for label in runs[i].finals)
    bars = []
    for label in list(labels)[:MAX_POLICIES]:
        scored = [(runs[i], runs[i].finals[label]) for i in group.runs if label in runs[i].finals]
        means = [row.mean for _, row in scored]
        mean = float(np.mean(means))
        interval, over = _interval(scored)
        learned = label.removesuffix("_best") == runs[group.runs[0]].algorithm
        bars.append(
            {
                "label": label,
                "group": number,
                "learned": learned,
                "mean": mean,
                "low": None if interval is None else interval[0],
                "high": None if interval is None else interval[1],
                "over": over,
                "runs": [{"name": run.name, "mean": row.mean} for run, row in scored],
                "normalised": None if limits is None else normalised(mean, limits),
                "episodes": sum(row.episodes or 0 for _, row in scored),
                "success": _mean([row.success for _, row in scored]),
            }
        )
    return bars


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _interval(scored: Sequence[tuple[RunData, ScoreRow]]) -> tuple[tuple[float, float] | None, str]:
    """Return the interval of a mean over runs, and what it is over."""
    if len(scored) == 1:
        return scored[0][1].ci95, "episodes"
    stored = [_stored(run, row) for run, row in scored]
    known = [part for part in stored if part is not None]
    if len(known) == len(scored):
        figure = mean_figure(RunScores.of([r for r, _ in known], [s for _, s in known]))
        return figure.ci95, figure.over or ""
    means = [row.mean for _, row in scored]
    return (mean_interval(means), "runs") if len(means) >= MIN_RUNS else (None, "")


def _stored(run: RunData, row: ScoreRow) -> tuple[Any, Any] | None:
    """Return returns and seeds of the episodes of a score; None if they cannot be read."""
    if "/" in row.policy or "\0" in row.policy:
        return None
    try:
        path = episodes_file(run.folder, "evaluation", evaluated(row.policy, row.update))
        if not path.is_file():
            return None
        returns, seeds = stored_returns(path), stored_seeds(path)
    except (DataError, pa.ArrowException, OSError, ValueError):
        return None
    fits = len(returns) > 0 and abs(float(returns.mean()) - row.mean) < 1e-6 * (1 + abs(row.mean))
    return (returns, seeds) if fits else None


def _published(run: RunData, limits: ScoreRange | None) -> tuple[list[dict[str, Any]], str]:
    """Return the paper's bars for a task, and a sentence about them."""
    if run.task not in PUBLISHED_SCORES:
        return [], ""
    others = {name for name in run.options if name != "faithful"}
    if others:
        return [], (
            "The paper's scores are not shown, because they are of the task without options."
        )
    rows = [
        {
            "label": name,
            "algorithm": algorithm,
            "mean": cell.returned,
            "normalised": cell.normalised
            if limits is None or cell.returned is None
            else normalised(cell.returned, limits),
        }
        for algorithm, name in COLUMNS.items()
        if (cell := PUBLISHED_SCORES[run.task][algorithm]).returned is not None
    ]
    note = (
        f"Published: {RETURNS_SOURCE}, without intervals. Models, data and opponents differ from "
        "these runs."
    )
    return rows, note if rows else "The paper prints no returns of this task."


def _without_repeats(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the bars, those that several groups share only once (the random player's)."""
    seen: set[tuple[str, float]] = set()
    kept = []
    for row in rows:
        mark = (row["label"], row["mean"])
        if row["learned"] or mark not in seen:
            kept.append(row)
        seen.add(mark)
    return kept
