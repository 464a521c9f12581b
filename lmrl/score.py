"""Scores: the paper's normalisation, and intervals that say how sure we are."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


# -- several runs of one kind ---------------------------------------------------------------------
#
# R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare: Deep Reinforcement Learning
# at the Edge of the Statistical Precipice, NeurIPS 2021, arXiv:2108.13264.


def iqm(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the interquartile mean over the last axis: that of the middle half of the scores.

    Agarwal et al. 2021, section 4.3: a quarter of the scores, rounded down, is left out at each
    end. Of fewer than four scores it is the mean.
    """
    count = scores.shape[-1]
    cut = count // 4
    middle: NDArray[np.float64] = np.sort(scores, axis=-1)[..., cut : count - cut].mean(axis=-1)
    return middle


def probability_of_improvement(
    ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how probably a run of `ours` scores more than one of `theirs`, over the last axis.

    P(X > Y) = 1/(NK) sum over pairs of 1 if x > y, 1/2 if x = y, 0 otherwise: the Mann-Whitney
    statistic (Agarwal et al. 2021, section 4.3).
    """
    gaps = ours[..., :, None] - theirs[..., None, :]
    found: NDArray[np.float64] = ((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=(-2, -1))
    return found


def resampled_means(
    runs: Sequence[Sequence[float] | NDArray[np.float64]], resamples: int = 10_000, seed: int = 0
) -> NDArray[np.float64]:
    """Return bootstrap means of runs `[resamples, runs]`: of seeds first, then of their episodes.

    A resample has as many runs as there are, drawn with replacement, and of each a mean of as many
    episodes as that run has, drawn with replacement too. Runs of one kind are a stratum: what is
    compared with them is resampled by a call of its own (Agarwal et al. 2021, section 4.1).

    Args:
        runs: the returns of each run's episodes, one run a training seed.
        resamples: how many.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(runs), size=(resamples, len(runs)))
    means = np.empty(drawn.shape)
    for number, episodes in enumerate(runs):
        sample = np.asarray(episodes, float)
        rows, columns = np.nonzero(drawn == number)
        for part in range(0, len(rows), 1000):
            chosen = slice(part, part + 1000)
            picks = rng.integers(len(sample), size=(len(rows[chosen]), len(sample)))
            means[rows[chosen], columns[chosen]] = sample[picks].mean(axis=1)
    return means


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval."""

    value: float
    ci95: tuple[float, float]

    @classmethod
    def of(
        cls,
        figure: Callable[..., NDArray[np.float64]],
        scores: Sequence[NDArray[np.float64]],
        resampled: Sequence[NDArray[np.float64]],
    ) -> "Figure":
        """Return a figure of the scores of runs, with the percentile interval of its resamples.

        Args:
            figure: takes the scores of one group of runs or of several, over the last axis.
            scores: of each group, `[runs]`.
            resampled: of each group, `[resamples, runs]`.
        """
        low, high = np.percentile(figure(*resampled), [2.5, 97.5])
        return cls(float(figure(*scores)), (float(low), float(high)))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"value": self.value, "ci95": list(self.ci95)}
