"""95 % intervals cover in 93 to 97 of 100 cases, and claim no improvement where there is none."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from lmrl.scoring.intervals import (
    EPISODES,
    RUNS,
    Figure,
    RunScores,
    difference_figure,
    iqm,
    iqm_figure,
    mean_figure,
    mean_interval,
    probability_figure,
    probability_of_improvement,
    share_interval,
)

E = 50
SEEDS = np.arange(1000, 1000 + E)

# Standard deviations: of runs, of episodes common to all, to a group, and of each run's episode.
SPREADS: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "no spread over runs": (0.0, 3.0, 2.0, 3.0),
        "runs that are all alike": (0.0, 3.0, 2.0, 0.0),
        "some spread over runs": (0.5, 3.0, 1.0, 3.0),
        "much spread over runs": (3.0, 3.0, 1.0, 3.0),
    }
)


def scores(returns: NDArray[np.float64]) -> RunScores:
    return RunScores.of(list(returns), [SEEDS[: returns.shape[1]]] * len(returns))


def groups(
    runs: int, spread: tuple[float, float, float, float], times: int
) -> Iterator[tuple[RunScores, RunScores]]:
    """Yield pairs of groups whose expected score is 0."""
    rng = np.random.default_rng(runs)
    of_run, of_episode, of_group, of_both = spread
    for _ in range(times):
        episodes = rng.normal(0.0, of_episode, E)
        pair = [
            rng.normal(0.0, of_run, (runs, 1))
            + episodes
            + rng.normal(0.0, of_group, E)
            + rng.normal(0.0, of_both, (runs, E))
            for _ in range(2)
        ]
        yield scores(pair[0]), scores(pair[1])


def covers(figure: Figure, truth: float = 0.0) -> bool:
    assert figure.ci95 is not None and figure.over == RUNS
    return figure.ci95[0] - 1e-9 <= truth <= figure.ci95[1] + 1e-9


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("runs", [3, 5, 10])
def test_intervals_over_runs_cover_and_claim_nothing_falsely(runs: int, spread: str) -> None:
    times = 1500
    hits, claims = np.zeros(3), []
    for number, (ours, theirs) in enumerate(groups(runs, SPREADS[spread], times)):
        hits += [
            covers(mean_figure(ours)),
            covers(iqm_figure(ours)),
            covers(difference_figure(ours, theirs)),
        ]
        if number % 2:
            claims.append(not covers(probability_figure(ours, theirs), 0.5))
    assert (hits / times >= 0.93).all() and (hits / times <= 0.97).all()
    assert np.mean(claims) <= 0.06


@pytest.mark.parametrize("runs", [5, 10])
def test_an_improvement_that_is_there_is_claimed(runs: int) -> None:
    found = 0
    for ours, theirs in groups(runs, SPREADS["some spread over runs"], 200):
        better = RunScores(ours.scores + 4.0, ours.effects, ours.seeds)
        low, high = probability_figure(better, theirs).ci95 or (0.0, 0.0)
        found += low > 0.5
        assert 0.0 <= low <= probability_figure(better, theirs).value <= high <= 1.0
    assert found >= 190


def test_the_probability_covers_where_it_is_neither_a_half_nor_one() -> None:
    # P(X > Y) of normal scores with spread 1 and distance sqrt(2) z is Phi(z); at z = 0.84, 0.80.
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(1000):
        drawn = rng.normal([[1.19], [0.0]], 1.0, (2, 8))
        ours, theirs = (scores(np.repeat(group[:, None], 2, axis=1)) for group in drawn)
        hits.append(covers(probability_figure(ours, theirs), 0.8))
    assert 0.93 <= np.mean(hits) <= 0.98


def test_the_same_episodes_make_a_difference_narrow() -> None:
    rng = np.random.default_rng(0)
    episodes = rng.normal(0.0, 10.0, E)
    ours, theirs = (
        scores(episodes + rng.normal(shift, 0.1, (3, 1)) + rng.normal(0.0, 0.1, (3, E)))
        for shift in (1.0, 0.0)
    )
    low, high = difference_figure(ours, theirs).ci95 or (0.0, 0.0)
    assert 0.5 < low < 1.0 < high < 1.5
    mean = mean_figure(ours).ci95 or (0.0, 0.0)
    assert mean[1] - mean[0] > 4.0  # other episodes would move each group itself much further
    # On episodes of their own the groups are as uncertain as both together.
    apart = RunScores(theirs.scores, theirs.effects, [SEEDS + E] * 3)
    low, high = difference_figure(ours, apart).ci95 or (0.0, 0.0)
    assert high - low > 5.0


def test_fewer_than_three_runs_have_no_interval_over_runs() -> None:
    returns = np.random.default_rng(0).normal(size=(3, E))
    three, two, one = (scores(returns[:count]) for count in (3, 2, 1))
    assert mean_figure(three).over == RUNS
    for few in (two, one):
        for figure in (mean_figure(few), iqm_figure(few), difference_figure(few, three)):
            assert figure.over == EPISODES and figure.ci95 is not None
        assert probability_figure(few, three).ci95 is None
    # Over episodes of one run it is Student's interval of their mean.
    assert mean_figure(one).ci95 == pytest.approx(mean_interval(returns[0]))
    single = scores(returns[:1, :1])
    for figure in (mean_figure(single), difference_figure(single, three)):
        assert (figure.ci95, figure.over) == (None, None)
    assert mean_figure(single).to_json() == {
        "value": pytest.approx(returns[0, 0]),
        "ci95": None,
        "over": None,
    }


def test_a_score_that_bends_is_followed_by_its_slope() -> None:
    returns = np.random.default_rng(0).normal(size=(3, E))
    plain = mean_figure(scores(returns))
    doubled = mean_figure(
        RunScores.of(list(returns), [SEEDS] * 3, lambda x: 2 * x + 1, lambda mean: 2.0)
    )
    assert doubled.value == pytest.approx(2 * plain.value + 1)
    assert doubled.ci95 == pytest.approx([2 * bound + 1 for bound in plain.ci95 or ()])


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30])
def test_the_interval_of_a_mean_covers(count: int) -> None:
    rng = np.random.default_rng(count)
    found = [mean_interval(rng.normal(size=count)) or (1.0, 0.0) for _ in range(4000)]
    assert 0.935 <= np.mean([low <= 0.0 <= high for low, high in found]) <= 0.965


def test_the_interval_of_a_mean_covers_skewed_returns() -> None:
    # Like a maze's: most episodes end early, and some at the limit.
    rng = np.random.default_rng(0)
    kinds = rng.random((3000, 200)) < 0.1
    returns = np.where(kinds, -101.0, -rng.integers(1, 12, (3000, 200)))
    truth = 0.1 * -101.0 + 0.9 * -6.0
    hits = [low <= truth <= high for low, high in map(mean_interval, returns)]  # type: ignore[misc]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_interval_of_a_share_has_a_width_where_all_are_hits() -> None:
    # Wilson's formula by hand for 10 of 10: 10 / (10 + z^2).
    assert share_interval(10, 10) == pytest.approx((10 / (10 + 1.959964**2), 1.0))
    assert share_interval(0, 10) == pytest.approx((0.0, 1 - 10 / (10 + 1.959964**2)))
    rng = np.random.default_rng(0)
    for count in (5, 10, 100):
        chances = rng.random(4000)
        hits = rng.binomial(count, chances)
        bounds = [share_interval(int(hit), count) for hit in hits]
        covered = [low <= p <= high for (low, high), p in zip(bounds, chances, strict=True)]
        assert 0.93 <= np.mean(covered) <= 0.97


def test_one_value_has_no_interval() -> None:
    assert mean_interval([3.0]) is None
    assert mean_interval([3.0, 3.0]) == (3.0, 3.0)


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
