"""Charts over the updates of runs: which metrics they show, and their points.

A group of three or more runs has the mean over its runs with Student's 95 % interval; each of its
runs is shown too. Many updates are reduced to `POINTS` points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lmrl.report.overview.groups import Group
from lmrl.report.overview.runs import Floats, RunData
from lmrl.scoring.intervals import MIN_RUNS, mean_interval

POINTS = 300
"""Most points of a line."""
RETURN = "rollout/return_mean"
"""The metric whose chart has the evaluations as points."""
TIME = "time"
"""The metric with the time of an update, in seconds since the epoch."""


@dataclass(frozen=True)
class Chart:
    """A chart of one metric.

    Attributes:
        metric: name of the metric.
        title: title for readers.
        unit: unit of the values.
        text: meaning of the metric, and how to read it, in a sentence.
        section: part of the page.
        log: whether the values are drawn on a logarithmic axis.
        reduce: how values of several updates become one point.
    """

    metric: str
    title: str
    unit: str
    text: str
    section: Literal["learning", "health", "speed"]
    log: bool = False
    reduce: Literal["mean", "max"] = "mean"


CHARTS = (
    Chart(
        RETURN,
        "Return",
        "mean return",
        "Line: training episodes of an update. Points: evaluations on fixed seeds with their 95 % "
        "interval over episodes; the one at update 0 is the start policy.",
        "learning",
    ),
    Chart(
        "rollout/length_mean",
        "Length of training episodes",
        "actions",
        "Mean number of actions of the episodes of an update.",
        "learning",
    ),
    Chart(
        "rollout/success",
        "Success of training episodes",
        "share",
        "Share of the episodes of an update that the task calls a success.",
        "learning",
    ),
    Chart(
        "rollout/illegal_actions",
        "Illegal actions",
        "share",
        "Share of actions that the task does not know; only in tasks with few legal actions.",
        "learning",
    ),
    Chart("train/loss", "Loss", "loss", "Total loss of an update.", "learning"),
    Chart(
        "train/entropy",
        "Entropy of the policy",
        "nats per token",
        "Mean entropy of the distribution over the next token. Near 0 the policy explores no more.",
        "learning",
    ),
    Chart(
        "train/action_nll",
        "Negative log-probability of the data",
        "nats per token",
        "Mean over the data's actions. Below it lies the randomness of the data.",
        "learning",
    ),
    Chart(
        "train/approx_kl",
        "KL divergence of an update",
        "nats per token",
        "Distance between the policies before and after the optimiser's steps of an update.",
        "learning",
    ),
    Chart(
        "train/kl_to_start",
        "KL divergence to the start policy",
        "nats per token",
        "Distance of the policy from the one that training began with.",
        "learning",
    ),
    Chart(
        "train/explained_variance",
        "Explained variance of the values",
        "share",
        "Share of the variance of the returns that the value function predicts; 1 is perfect.",
        "learning",
    ),
    Chart(
        "train/grad_norm",
        "Norm of the gradient",
        "norm",
        "Norm before clipping. A sudden rise points at an unstable update.",
        "learning",
        log=True,
    ),
    Chart(
        "push/max_abs",
        "Parity: sampler and learner after a push",
        "nats",
        "Largest difference of their log-probabilities on fixed probes. The gate stops a run whose "
        "difference is above the tolerance.",
        "health",
        log=True,
        reduce="max",
    ),
    Chart(
        "train/sampler_gap",
        "Sampler gap on training tokens",
        "nats",
        "Mean difference between the log-probabilities that the sampler recorded and those that "
        "the learner computes for the same tokens. It grows with staleness.",
        "health",
        log=True,
        reduce="max",
    ),
    Chart(
        "rollout/staleness",
        "Staleness",
        "updates",
        "Updates between the oldest weights that sampled an episode and the update that used it.",
        "health",
        reduce="max",
    ),
    Chart(
        "push/push_ms",
        "Duration of a weight push",
        "ms",
        "Time from the learner's weights to samplers that serve them.",
        "health",
        reduce="max",
    ),
    Chart(
        "push/gate_ms",
        "Duration of the parity gate",
        "ms",
        "Time of the comparison of sampler and learner after a push.",
        "health",
        reduce="max",
    ),
    Chart(
        "rollout/tokens_per_s",
        "Speed of sampling",
        "tokens per second",
        "Tokens that the samplers produced per second of waiting for episodes.",
        "speed",
    ),
    Chart(
        "train/tokens_per_s",
        "Speed of learning",
        "tokens per second",
        "Tokens that the learner processed per second of its updates.",
        "speed",
    ),
)
"""The charts that the page shows by themselves; every other metric can be chosen there."""

Curve = dict[str, list[float | None]]
"""Points: `x`, `y`, and `low` and `high` where there is an interval."""


def charts(runs: Sequence[RunData], groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the charts that some run has values for, as JSON values."""
    shown = [
        (chart, lines)
        for chart in CHARTS
        if (lines := _lines(chart.metric, chart.reduce, runs, groups))
    ]
    points = _evaluations(runs, groups)
    if points and not any(chart.metric == RETURN for chart, _ in shown):
        shown.insert(0, (CHARTS[0], []))
    return [
        {
            "id": chart.metric,
            "title": chart.title,
            "unit": chart.unit,
            "text": chart.text,
            "section": chart.section,
            "log": chart.log,
            "lines": lines,
            "points": points if chart.metric == RETURN else [],
        }
        for chart, lines in shown
    ]


def other_charts(runs: Sequence[RunData], groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return a chart of every metric that has none in `CHARTS`."""
    own = {chart.metric for chart in CHARTS} | {TIME}
    names = sorted({name for run in runs for name in run.metrics} - own)
    return [
        {
            "id": name,
            "title": name,
            "unit": "",
            "text": "",
            "section": "other",
            "log": False,
            "lines": lines,
            "points": [],
        }
        for name in names
        if (lines := _lines(name, "mean", runs, groups))
    ]


def _evaluations(runs: Sequence[RunData], groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the scores during and after training as points; those on the way are joined."""
    of_run = {index: number for number, group in enumerate(groups) for index in group.runs}
    return [
        {
            "run": index,
            "group": of_run[index],
            "x": float(row.update),
            "y": row.mean,
            "low": None if row.ci95 is None else row.ci95[0],
            "high": None if row.ci95 is None else row.ci95[1],
            "joined": row.selecting,
            "label": row.policy + (" on selection seeds" if row.selecting else " on final seeds"),
        }
        for index, run in enumerate(runs)
        for row in run.scores[:1000]
        if row.policy.removesuffix("_best") == run.algorithm
        or (row.update == 0 and row.policy != "random")
    ]


def _lines(
    metric: str, how: str, runs: Sequence[RunData], groups: Sequence[Group]
) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for number, group in enumerate(groups):
        own = [(i, *runs[i].metrics[metric]) for i in group.runs if metric in runs[i].metrics]
        for index, x, y in own:
            lines.append({"group": number, "run": index, **_reduced(how, x, y)})
        if len(own) >= 2:
            mean = _mean_curve([(x, y) for _, x, y in own])
            if len(mean[0]):
                lines.append({"group": number, "run": None, **_reduced(how, *mean)})
    return lines


def _mean_curve(curves: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return updates that all curves have, the mean there, and its interval (NaN if none)."""
    tables = [dict(zip(x.tolist(), y.tolist(), strict=True)) for x, y in curves]
    shared = sorted(set.intersection(*(set(table) for table in tables)))
    values = np.array([[table[x] for table in tables] for x in shared]).reshape(-1, len(curves))
    found = [mean_interval(row) if len(curves) >= MIN_RUNS else None for row in values]
    bounds = np.array([pair or (np.nan, np.nan) for pair in found]).reshape(-1, 2)
    return np.array(shared), values.mean(1), bounds[:, 0], bounds[:, 1]


def _reduced(
    how: str, x: Floats, y: Floats, low: Floats | None = None, high: Floats | None = None
) -> Curve:
    """Return a line with at most `POINTS` points; each of them is over equally many updates."""
    order = np.argsort(x, kind="stable")
    size = -(-len(x) // POINTS)
    starts = np.arange(0, len(x), size)
    counts = np.diff(np.append(starts, len(x)))

    def means(values: Floats) -> Floats:
        found: Floats = np.add.reduceat(values[order], starts) / counts
        return found

    points = np.maximum.reduceat(y[order], starts) if how == "max" else means(y)
    curve = {"x": _listed(means(x)), "y": _listed(points)}
    if low is not None and high is not None and np.isfinite(low).any():
        curve |= {"low": _listed(means(low)), "high": _listed(means(high))}
    return curve


def _listed(values: Floats) -> list[float | None]:
    """Return numbers with six significant digits, which is more than a chart can show."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values.tolist()]
