"""Scores: the paper's normalisation, and intervals that say how sure we are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lmrl.env import ScoreRange
from lmrl.trajectory import Trajectory


def normalised(score: float, limits: ScoreRange) -> float:
    """Return the paper's normalised score: worst 0, data set mean 50, best 100, linear between.

    arXiv 2311.18232, appendix E. Not clipped: worse than worst is negative.
    """
    if score < limits.data:
        return 50.0 * (score - limits.worst) / (limits.data - limits.worst)
    return 50.0 + 50.0 * (score - limits.data) / (limits.best - limits.data)


def bootstrap(
    values: Sequence[float], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`.

    Args:
        values: one return an episode; at least one.
        level: coverage.
        resamples: of the episodes, with replacement.
        seed: of the resampling; the same values give the same interval.
    """
    sample = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, 1000):
        count = min(1000, resamples - start)
        picks = rng.integers(len(sample), size=(count, len(sample)))
        means[start : start + count] = sample[picks].mean(axis=1)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Score:
    """How a policy did on a set of episodes.

    Attributes:
        return_mean: mean undiscounted return.
        ci95: its 95 % bootstrap interval.
        normalised: the paper's score of the mean.
        episodes: how many.
        return_std: standard deviation over episodes.
        length_mean: actions per episode.
        success: share of episodes that the task called a success; None if it says nothing.
    """

    return_mean: float
    ci95: tuple[float, float]
    normalised: float
    episodes: int
    return_std: float
    length_mean: float
    success: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "ci95": list(self.ci95)}


@dataclass(frozen=True)
class Difference:
    """How much more one set of episodes returned than another on the same seeds.

    Attributes:
        mean: of the differences, one a pair of episodes.
        ci95: its 95 % interval, from resampling the pairs.
        pairs: how many.
    """

    mean: float
    ci95: tuple[float, float]
    pairs: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "ci95": list(self.ci95)}


def difference(episodes: Sequence[Trajectory], base: Sequence[Trajectory]) -> Difference | None:
    """Return how much more `episodes` return than `base`, paired by seed; None without a pair."""
    returns = {episode.seed: episode.total_reward for episode in base}
    paired = [e.total_reward - returns[e.seed] for e in episodes if e.seed in returns]
    if not paired:
        return None
    return Difference(float(np.mean(paired)), bootstrap(paired), len(paired))


def score(episodes: Sequence[Trajectory], limits: ScoreRange) -> Score:
    """Return the score of finished episodes; at least one."""
    returns = [episode.total_reward for episode in episodes]
    successes = [bool(e.info["success"]) for e in episodes if "success" in e.info]
    mean = float(np.mean(returns))
    return Score(
        return_mean=mean,
        ci95=bootstrap(returns),
        normalised=normalised(mean, limits),
        episodes=len(returns),
        return_std=float(np.std(returns)),
        length_mean=float(np.mean([len(episode.turns) for episode in episodes])),
        success=float(np.mean(successes)) if len(successes) == len(episodes) else None,
    )
