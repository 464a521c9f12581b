"""Scores of one policy: the paper's normalisation, and differences seed by seed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from lmrl.env import ScoreRange, TextEnv
from lmrl.scoring.intervals import Interval, mean_interval
from lmrl.trajectory import PLAYED, Trajectory


def normalised(score: float, limits: ScoreRange) -> float:
    """Return the paper's normalised score: worst 0, data set mean 50, best 100, linear between.

    arXiv 2311.18232, appendix E. Not clipped: worse than worst is negative.
    """
    if score < limits.data:
        return 50.0 * (score - limits.worst) / (limits.data - limits.worst)
    return 50.0 + 50.0 * (score - limits.data) / (limits.best - limits.data)


def slope(score: float, limits: ScoreRange) -> float:
    """Return how much the normalised score changes with the score."""
    if score < limits.data:
        return 50.0 / (limits.data - limits.worst)
    return 50.0 / (limits.best - limits.data)


@dataclass(frozen=True)
class Score:
    """How a policy did on a set of episodes.

    Attributes:
        return_mean: mean undiscounted return.
        ci95: its 95 % interval over episodes, Student's; None of a single episode.
        normalised: the paper's score of the mean.
        episodes: how many.
        return_std: standard deviation over episodes.
        length_mean: actions per episode.
        success: share of episodes that the task called a success; None if it says nothing.
        cut_actions: share of actions that a token limit ended.
        malformed_actions: share of replies in which a chat format found no action.
        tasks: scores by task, in a run with several tasks.
    """

    return_mean: float
    ci95: Interval | None
    normalised: float
    episodes: int
    return_std: float
    length_mean: float
    success: float | None = None
    cut_actions: float = 0.0
    malformed_actions: float = 0.0
    tasks: dict[str, "Score"] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `tasks` is left out in a run with one task."""
        plain = {**asdict(self), "ci95": None if self.ci95 is None else list(self.ci95)}
        del plain["tasks"]
        parts = {name: part.to_json() for name, part in self.tasks.items()}
        return {**plain, "tasks": parts} if parts else plain


@dataclass(frozen=True)
class Difference:
    """How much more one set of episodes returned than another on the same seeds.

    Attributes:
        mean: of the differences, one a pair of episodes.
        ci95: its 95 % interval over pairs, Student's; None of a single pair.
        pairs: how many.
    """

    mean: float
    ci95: Interval | None
    pairs: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "ci95": None if self.ci95 is None else list(self.ci95)}


def difference(episodes: Sequence[Trajectory], base: Sequence[Trajectory]) -> Difference | None:
    """Return how much more `episodes` return than `base`, paired by seed; None without a pair."""
    returns = {episode.seed: episode.total_reward for episode in base}
    paired = [e.total_reward - returns[e.seed] for e in episodes if e.seed in returns]
    if not paired:
        return None
    return Difference(float(np.mean(paired)), mean_interval(paired), len(paired))


def score_of(episodes: Sequence[Trajectory], env: TextEnv) -> Score:
    """Return the score of finished episodes, and of each task that they played.

    Args:
        episodes: at least one episode.
        env: environment of the task, or of several.
    """
    parts = {
        name: score(own, limits)
        for name, limits in env.part_ranges.items()
        if (own := [e for e in episodes if e.info.get(PLAYED) == name])
    }
    whole = score(episodes, env.score_range)
    if not parts:
        return whole
    # The units of the tasks' returns differ, so the parts are normalised first.
    shared = sum(part.normalised * part.episodes for part in parts.values())
    return replace(whole, normalised=shared / whole.episodes, tasks=parts)


def score(episodes: Sequence[Trajectory], limits: ScoreRange) -> Score:
    """Return the score of finished episodes; at least one."""
    returns = [episode.total_reward for episode in episodes]
    successes = [bool(e.info["success"]) for e in episodes if "success" in e.info]
    turns = [turn for episode in episodes for turn in episode.turns]
    mean = float(np.mean(returns))
    return Score(
        return_mean=mean,
        ci95=mean_interval(returns),
        normalised=normalised(mean, limits),
        episodes=len(returns),
        return_std=float(np.std(returns)),
        length_mean=float(np.mean([len(episode.turns) for episode in episodes])),
        success=float(np.mean(successes)) if len(successes) == len(episodes) else None,
        cut_actions=sum(turn.cut for turn in turns) / max(len(turns), 1),
        malformed_actions=sum(turn.malformed for turn in turns) / max(len(turns), 1),
    )
