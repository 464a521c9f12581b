"""95 % intervals of means, shares, and of figures over training runs.

The intervals have their coverage for few values too. Percentiles of a bootstrap do not: with three
runs, a percentile interval covers the expectation of the mean in about two of three cases.
`tests/unit/test_intervals.py` measures the coverage.

Runs of a group share the seeds of their evaluation. The mean return of a run is then

    m_r = mu + a_r + mean over episodes of (b_e + c_re),

with a_r of the training seed, b_e of the episode, common to the runs, and c_re of both. The
variance of the mean over R runs has two parts: var(m_r) / R, which contains a and c, and
var(b) / E, which no spread over runs shows. The second one is what resampling the episodes jointly
over the runs has beyond the first one; for a mean it is the mean covariance of two runs, divided
by E, so that nothing has to be drawn. In a difference of groups on the same seeds the covariance
between the groups is subtracted. The runs' part has few degrees of freedom and the episodes' part
many; `_around` says which quantile of Student's t follows.

References:
    R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare: Deep Reinforcement
    Learning at the Edge of the Statistical Precipice, NeurIPS 2021, arXiv:2108.13264: the figures.
    B. Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987): BCa, whose correction is of
    second order in the number of values, and too narrow for three runs.
    R. G. Newcombe, Statistics in Medicine 25 (2006) 559-573, method 5: P(X > Y).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

Values = NDArray[np.float64]
Interval = tuple[float, float]

MIN_RUNS = 3
"""Smallest number of runs for an interval over training seeds."""

RUNS, EPISODES = "runs and episodes", "episodes"
"""What an interval covers: training seeds and episodes, or episodes alone."""

Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""

TRIMMED = 1.2
"""Variance of the interquartile mean over that of the mean, for normal scores (at most 1.2)."""

_POINTS = 400
"""Number of points of the distribution of shifts between groups."""

Part = tuple[float, float]
"""A variance: estimate and degrees of freedom."""


def mean_interval(values: Sequence[float] | Values) -> Interval | None:
    """Return Student's interval of the mean of independent values; None of fewer than two."""
    sample = np.asarray(values, float)
    count = len(sample)
    if count < 2:
        return None
    middle = float(sample.mean())
    reach = float(stdtrit(count - 1, 0.975)) * float(sample.std(ddof=1)) / math.sqrt(count)
    return middle - reach, middle + reach


def share_interval(hits: int, count: int) -> Interval:
    """Return Wilson's interval of a probability, of `hits` in `count` trials, at least one.

    Unlike an interval from the standard deviation it has a width where all or none are hits.
    """
    share, spread = hits / count, Z95**2 / count
    middle = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return max(0.0, middle - reach), min(1.0, middle + reach)


# -- runs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """A figure of one group of runs or of two.

    Attributes:
        value: estimate.
        ci95: 95 % interval; None where there are too few runs, or episodes, for one.
        over: what the interval covers: `RUNS`, or `EPISODES` for the same runs on other episodes;
            None without an interval.
    """

    value: float
    ci95: Interval | None = None
    over: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "value": self.value,
            "ci95": None if self.ci95 is None else list(self.ci95),
            "over": self.over,
        }


@dataclass(frozen=True)
class RunScores:
    """Scores of the runs of one group, and the effects of episodes on them.

    Attributes:
        scores: scores of the runs `[R]`.
        effects: effect of each episode on the score of its run `[R][E_r]`: slope of the score times
            the distance of the return from the run's mean.
        seeds: seeds of these episodes `[R][E_r]`; runs share an episode if they share its seed.
    """

    scores: Values
    effects: Sequence[Values]
    seeds: Sequence[NDArray[np.int64]]

    @classmethod
    def of(
        cls,
        returns: Sequence[Values],
        seeds: Sequence[NDArray[np.int64]],
        scored: Callable[[float], float] = float,
        slope: Callable[[float], float] = lambda mean: 1.0,
    ) -> "RunScores":
        """Return the scores of runs from the returns of their episodes.

        Args:
            returns: returns of each run's episodes `[R][E_r]`, in reward units.
            seeds: seeds of the same episodes `[R][E_r]`.
            scored: function from a mean return to a score.
            slope: derivative of that function.
        """
        means = [float(episodes.mean()) for episodes in returns]
        return cls(
            np.array([scored(mean) for mean in means]),
            [
                slope(mean) * (episodes - mean)
                for mean, episodes in zip(means, returns, strict=True)
            ],
            seeds,
        )

    @property
    def enough(self) -> bool:
        """Whether an interval over runs can be given."""
        return len(self.scores) >= MIN_RUNS

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the episodes' part."""
        return min(len(effects) for effects in self.effects) - 1


def mean_figure(runs: RunScores) -> Figure:
    """Return the mean score of a group."""
    return _figure(float(runs.scores.mean()), runs, 1.0)


def iqm_figure(runs: RunScores) -> Figure:
    """Return the interquartile mean of a group's scores; see `iqm`.

    Its spread over runs is taken from the variance of all scores, times the ratio for normal ones:
    the winsorised variance of the two to six middle scores of few runs is too uncertain. With
    outliers among the runs the interval is too wide, never too narrow.
    """
    return _figure(float(iqm(runs.scores)), runs, 1.0 if len(runs.scores) < 4 else TRIMMED)


def difference_figure(ours: RunScores, theirs: RunScores) -> Figure:
    """Return the difference of two groups' mean scores, paired by the episodes that they share.

    The runs' part is Welch's (1947): groups need not spread alike.
    """
    value = float(ours.scores.mean() - theirs.scores.mean())
    freedom = min(ours.freedom, theirs.freedom)
    if ours.enough and theirs.enough:
        (first, some), (second, others) = (_run_part(group.scores) for group in (ours, theirs))
        total = first + second
        welch = total**2 / (first**2 / some + second**2 / others) if total > 0 else some + others
        common = max(0.0, _shift_variance(ours, theirs))
        return Figure(value, _around(value, (total, welch), (common, freedom)), RUNS)
    within = sum(float(_covariances(group, group).mean()) for group in (ours, theirs))
    across = float(_covariances(ours, theirs).mean())
    return _over_episodes(value, within - 2 * across, freedom)


def probability_figure(ours: RunScores, theirs: RunScores) -> Figure:
    """Return P(a run of ours scores more than one of theirs), with an interval over both parts.

    Newcombe's method 5 with a continuity correction, without which three runs against three would
    claim an improvement falsely in 10 % of the cases, is mixed over the shifts between the groups
    that other episodes would bring. There is no interval with fewer than `MIN_RUNS` runs in one of
    the groups.
    """
    value = float(probability_of_improvement(ours.scores, theirs.scores))
    if not (ours.enough and theirs.enough):
        return Figure(value)
    common = _shift_variance(ours, theirs)
    freedom = min(ours.freedom, theirs.freedom)
    shifts = np.zeros(1)
    if common > 0 and freedom > 0:
        shifts = math.sqrt(common) * _t_points(freedom)
    gaps = np.sort((ours.scores[:, None] - theirs.scores[None, :]).ravel())
    # Of P(X + shift > Y) for each shift: pairs whose gap exceeds -shift, and half of the ties.
    most, least = (
        len(gaps) - np.searchsorted(gaps, -shifts, side=side) for side in ("left", "right")
    )
    found, counts = np.unique((most + least) / (2 * len(gaps)), return_counts=True)
    sizes = (len(ours.scores), len(theirs.scores))
    low, high = (
        _probability_bound(found, counts / counts.sum(), sizes, tail) for tail in (0.025, 0.975)
    )
    return Figure(value, (min(low, value), max(high, value)), RUNS)


def iqm(scores: Values) -> Values:
    """Return the interquartile mean over the last axis: that of the middle half of the scores.

    Agarwal et al. 2021, section 4.3: a quarter of the scores, rounded down, is left out at each
    end. Of fewer than four scores it is the mean.
    """
    count = scores.shape[-1]
    cut = count // 4
    middle: Values = np.sort(scores, axis=-1)[..., cut : count - cut].mean(axis=-1)
    return middle


def probability_of_improvement(ours: Values, theirs: Values) -> Values:
    """Return the probability that a run of `ours` scores more than one of `theirs`, over the last
    axis.

    P(X > Y) = 1/(NK) sum over pairs of 1 if x > y, 1/2 if x = y, 0 otherwise: the Mann-Whitney
    statistic (Agarwal et al. 2021, section 4.3).
    """
    gaps = ours[..., :, None] - theirs[..., None, :]
    found: Values = ((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=(-2, -1))
    return found


# -- parts of a variance --------------------------------------------------------------------------


def _figure(value: float, runs: RunScores, factor: float) -> Figure:
    covariances = _covariances(runs, runs)
    if runs.enough:
        common = max(0.0, _apart(covariances))
        part = _run_part(runs.scores, factor)
        return Figure(value, _around(value, part, (common, runs.freedom)), RUNS)
    return _over_episodes(value, float(covariances.mean()), runs.freedom)


def _over_episodes(value: float, variance: float, freedom: int) -> Figure:
    found = _around(value, (0.0, 0), (max(0.0, variance), freedom))
    return Figure(value, found, EPISODES if found else None)


def _run_part(scores: Values, factor: float = 1.0) -> Part:
    return factor * float(scores.var(ddof=1)) / len(scores), len(scores) - 1


def _covariances(ours: RunScores, theirs: RunScores) -> Values:
    """Return the covariance over episodes of two runs' scores `[R, R']`; 0 if none is shared."""
    return _placed(ours, theirs) @ _placed(theirs, ours).T


def _placed(runs: RunScores, others: RunScores) -> Values:
    """Return each run's effects as a row over the seeds of both groups, scaled for their product.

    The covariance of two means over E episodes is the sum of products over E (E - 1).
    """
    columns = _columns(runs, others)
    rows = np.zeros((len(runs.scores), len(columns)))
    for row, effects, seeds in zip(rows, runs.effects, runs.seeds, strict=True):
        count = len(effects)
        if count > 1:
            placed = np.searchsorted(columns, seeds)
            np.add.at(row, placed, effects / math.sqrt(count * (count - 1)))
    return rows


def _columns(runs: RunScores, others: RunScores) -> NDArray[np.int64]:
    first = runs.seeds[0]
    seeds = [*runs.seeds, *others.seeds]
    if all(same is first or np.array_equal(same, first) for same in seeds):
        return np.unique(first)
    return np.unique(np.concatenate(seeds))


def _apart(covariances: Values) -> float:
    """Return the mean covariance of two different runs."""
    count = len(covariances)
    return float(covariances.sum() - np.trace(covariances)) / (count * (count - 1))


def _shift_variance(ours: RunScores, theirs: RunScores) -> float:
    """Return the part of the variance of the groups' difference that comes from episodes."""
    within = _apart(_covariances(ours, ours)) + _apart(_covariances(theirs, theirs))
    return within - 2 * float(_covariances(ours, theirs).mean())


def _around(value: float, runs: Part, episodes: Part) -> Interval | None:
    """Return the interval of an estimate whose variance has two parts; None without any freedom.

    The quantile lies halfway between that of Student's t with Satterthwaite's degrees of freedom,
    which covers 92 % for three runs where the parts are alike, and the mean of the parts' own
    quantiles, weighted by their variances (Cochran and Cox 1950), which covers 97.5 %.
    """
    parts = [part for part in (runs, episodes) if part[1] > 0]
    if not parts:
        return None
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return value, value
    freedom = total**2 / sum(variance**2 / free for variance, free in parts)
    weighted = sum(variance * stdtrit(free, 0.975) for variance, free in parts) / total
    reach = math.sqrt(total) * float(stdtrit(freedom, 0.975) + weighted) / 2
    return value - reach, value + reach


@lru_cache(maxsize=256)
def _t_points(freedom: int) -> Values:
    """Return equally probable values of Student's t, ascending."""
    points: Values = stdtrit(freedom, (np.arange(_POINTS) + 0.5) / _POINTS)
    return points


def _probability_bound(
    levels: Values, weights: Values, sizes: tuple[int, int], tail: float
) -> float:
    """Return the quantile of the mixture of confidence distributions of P(X > Y)."""
    ours, theirs = sizes
    correction = 0.5 / (ours * theirs)
    centres = np.clip(levels + (correction if tail > 0.5 else -correction), 0.0, 1.0)
    extra = (ours + theirs) / 2 - 1
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        spread = middle * (1 - middle) / (ours * theirs)
        spread *= 1 + extra * ((1 - middle) / (2 - middle) + middle / (1 + middle))
        reached = float(weights @ ndtr((middle - centres) / math.sqrt(spread)))
        low, high = (middle, high) if reached < tail else (low, middle)
    return (low + high) / 2
