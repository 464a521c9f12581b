"""Scores: the paper's normalisation, and intervals."""

import numpy as np
import pytest

from lmrl import make
from lmrl.env import ScoreRange
from lmrl.rollout import play
from lmrl.score import (
    Figure,
    bootstrap,
    iqm,
    normalised,
    probability_of_improvement,
    resampled_means,
    score,
)

# Cells of the paper's tables 2 and 4 that agree with each other.
PUBLISHED = [
    (ScoreRange(-6.0, -4.12, -1.94), -2.81, 80.0),
    (ScoreRange(-6.0, -4.12, -1.94), -5.42, 15.4),
    (ScoreRange(-401.0, 0.21, 1.0), -22.3, 47.2),
    (ScoreRange(-1.0, 0.586, 1.0), 0.814, 77.5),
    (ScoreRange(-101.0, -83.0, -6.84), -6.97, 99.9),
    (ScoreRange(-101.0, -83.0, -25.75), -52.9, 76.3),
]


@pytest.mark.parametrize(("limits", "raw", "published"), PUBLISHED)
def test_normalisation_is_the_papers(limits: ScoreRange, raw: float, published: float) -> None:
    assert normalised(raw, limits) == pytest.approx(published, abs=0.06)


def test_the_three_constants_are_0_50_and_100() -> None:
    limits = ScoreRange(-10.0, -4.0, 2.0)
    assert [normalised(x, limits) for x in limits] == [0.0, 50.0, 100.0]


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        low, high = bootstrap(rng.exponential(2.0, size=60), resamples=500, seed=trial)
        hits += low <= 2.0 <= high
    assert 0.86 <= hits / 200 <= 0.99


def test_intervals_are_repeatable_and_shrink() -> None:
    values = np.random.default_rng(1).normal(size=400)
    assert bootstrap(values) == bootstrap(values)
    wide, narrow = bootstrap(values[:40]), bootstrap(values)
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_a_score_counts_what_the_episodes_say() -> None:
    env = make("maze-fo", max_steps=20)
    played = [play(env, "random", seed, "maze-fo") for seed in range(30)]
    result = score(played, env.score_range)
    assert result.return_mean == pytest.approx(np.mean([t.total_reward for t in played]))
    assert result.success == np.mean([t.info["success"] for t in played])
    assert result.episodes == 30 and result.length_mean <= 21


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    # Eight scores: two go at each end, and (2 + 3 + 4 + 5) / 4 is left.
    assert iqm(np.array([100.0, 3.0, 4.0, 1.0, 5.0, 6.0, 2.0, -50.0])) == 3.5
    assert iqm(np.array([1.0, 2.0, 6.0])) == 3.0  # of three, none goes
    assert iqm(np.array([[0.0, 1.0, 2.0, 9.0], [4.0, 4.0, 4.0, 4.0]])).tolist() == [1.5, 4.0]


def test_the_probability_of_improvement_counts_pairs_and_half_of_the_ties() -> None:
    # 3 > 1, 3 > 2, 3 = 3 (a half); 2 > 1, 2 = 2 (a half), 2 < 3: 4 of 6.
    ours, theirs = np.array([3.0, 2.0]), np.array([1.0, 2.0, 3.0])
    assert probability_of_improvement(ours, theirs) == pytest.approx(4 / 6)
    both = probability_of_improvement(ours, theirs) + probability_of_improvement(theirs, ours)
    assert both == pytest.approx(1.0)
    rows = probability_of_improvement(np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))
    assert rows.tolist() == [1.0, 0.0]


def test_runs_are_resampled_by_seed_and_by_episode() -> None:
    means = resampled_means([[1.0, 1.0], [5.0]], resamples=4000)
    assert means.shape == (4000, 2) and set(means.ravel()) == {1.0, 5.0}
    assert np.mean(means == 1.0) == pytest.approx(0.5, abs=0.03)
    # Both slots draw runs of their own: the mean is 1, 3 or 5 with 1/4, 1/2 and 1/4.
    assert np.mean(means.mean(axis=1) == 3.0) == pytest.approx(0.5, abs=0.03)
    # One run: its two episodes make 0, 1/2 and 1.
    alone = resampled_means([[0.0, 1.0]], resamples=4000)
    assert np.mean(alone == 0.5) == pytest.approx(0.5, abs=0.03)
    assert (resampled_means([[0.0, 1.0]], 50) == resampled_means([[0.0, 1.0]], 50)).all()


def test_a_figure_has_the_percentiles_of_its_resamples() -> None:
    resampled = np.arange(1001.0)[:, None]
    figure = Figure.of(lambda values: values.mean(axis=-1), [np.array([7.0])], [resampled])
    assert (figure.value, figure.ci95) == (7.0, (25.0, 975.0))


def test_intervals_over_seeds_and_episodes_cover_the_mean() -> None:
    """Seeds differ by a normal draw and episodes by another; six seeds make the interval narrow."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        runs = [rng.normal(rng.normal(0.0, 1.0), 2.0, size=20) for _ in range(6)]
        low, high = np.percentile(resampled_means(runs, 400, trial).mean(axis=1), [2.5, 97.5])
        hits += low <= 0.0 <= high
    assert 0.8 <= hits / 200 <= 0.99
