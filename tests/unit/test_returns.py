"""Returns, advantages, whitening and KL control against slow twins written like the formulas."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from learners.algorithms.returns import Credit, adapted_kl, gae, per_step, reward_to_go, whiten

CREDITS: tuple[Credit, ...] = ("token", "turn")
seeds = pytest.mark.parametrize("seed", range(20))
both_credits = pytest.mark.parametrize("credit", CREDITS)


@dataclass(frozen=True)
class Flat:
    """Random episodes as flat columns, and the positions of each: the twins walk over those."""

    episodes: list[list[int]]
    terminated: list[bool]
    value: NDArray[np.float64]
    reward: NDArray[np.float64]
    follow: NDArray[np.int64]
    turn_end: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """N."""
        return len(self.reward)

    @property
    def bootstrap(self) -> NDArray[np.float64]:
        """Values of the bootstrap entries `[K]`."""
        return self.value[self.count :]

    def ending_value(self, episode: int) -> float:
        """Return the value after an episode's last action: 0 if it terminated."""
        if self.terminated[episode]:
            return 0.0
        return float(self.bootstrap[sum(not t for t in self.terminated[:episode])])


def random_episodes(seed: int) -> Flat:
    """Return up to six episodes of up to five turns of up to four tokens."""
    rng = np.random.default_rng(seed)
    turns = [rng.integers(1, 5, size=rng.integers(1, 6)) for _ in range(rng.integers(1, 7))]
    terminated = [bool(t) for t in rng.integers(0, 2, size=len(turns))]
    lengths = [int(t.sum()) for t in turns]
    starts = np.cumsum([0, *lengths])
    count, cut = int(starts[-1]), 0
    turn_end = np.zeros(count, bool)
    turn_end[np.cumsum(np.concatenate(turns)) - 1] = True
    follow = np.arange(1, count + 1)
    for episode, end in enumerate(starts[1:] - 1):
        follow[end] = -1 if terminated[episode] else count + cut
        cut += not terminated[episode]
    return Flat(
        episodes=[list(range(a, b)) for a, b in pairwise(starts)],
        terminated=terminated,
        value=rng.normal(size=count + cut),
        reward=np.where(turn_end, rng.normal(size=count), 0.0),
        follow=follow,
        turn_end=turn_end,
    )


def steps_between(flat: Flat, credit: Credit, first: int, last: int) -> int:
    """Return how often a rate acts on the way from action token `first` to `last`."""
    return last - first if credit == "token" else int(flat.turn_end[first:last].sum())


def slow_gae(flat: Flat, gamma: float, lam: float, credit: Credit) -> NDArray[np.float64]:
    """Return A_k = Σ_l (γλ)^l δ_{k+l}, the sum of eq. 16 of arXiv:1506.02438."""
    advantage = np.zeros(flat.count)
    for episode, positions in enumerate(flat.episodes):
        values = [*flat.value[positions], flat.ending_value(episode)]
        delta = [
            flat.reward[n]
            + gamma ** steps_between(flat, credit, n, n + 1) * values[i + 1]
            - values[i]
            for i, n in enumerate(positions)
        ]
        for k, first in enumerate(positions):
            advantage[first] = sum(
                (gamma * lam) ** steps_between(flat, credit, first, last) * delta[k + index]
                for index, last in enumerate(positions[k:])
            )
    return advantage


def slow_returns(flat: Flat, gamma: float, credit: Credit, bootstrap: bool) -> NDArray[np.float64]:
    """Return G_k = Σ_l γ^l r_{k+l} + γ^L V_end."""
    returns = np.zeros(flat.count)
    for episode, positions in enumerate(flat.episodes):
        after = positions[-1] + 1
        for first in positions:
            later = range(first, after)
            powers = [gamma ** steps_between(flat, credit, first, n) for n in later]
            returns[first] = np.dot(powers, flat.reward[first:after])
            if bootstrap:
                end = gamma ** steps_between(flat, credit, first, after)
                returns[first] += end * flat.ending_value(episode)
    return returns


def rates(flat: Flat, rate: float, credit: Credit) -> NDArray[np.float64]:
    return per_step(rate, flat.turn_end, credit)


@seeds
@both_credits
@pytest.mark.parametrize(("gamma", "lam"), [(0.99, 0.95), (0.5, 0.7), (1.0, 0.9), (0.9, 0.0)])
def test_gae_is_the_double_sum(seed: int, credit: Credit, gamma: float, lam: float) -> None:
    flat = random_episodes(seed)
    advantage, target = gae(
        flat.value,
        flat.reward,
        flat.follow,
        rates(flat, gamma, credit),
        rates(flat, lam, credit),
    )
    if credit == "turn" and lam == 0.0:
        # 0^0 is 1: inside a turn the decay is 1 and only the border cuts.
        assert (rates(flat, lam, credit) == np.where(flat.turn_end, 0.0, 1.0)).all()
    slow = slow_gae(flat, gamma, lam, credit)
    np.testing.assert_allclose(advantage, slow, rtol=0, atol=1e-12)
    np.testing.assert_allclose(target, slow + flat.value[: flat.count], rtol=0, atol=1e-12)


@seeds
@both_credits
@pytest.mark.parametrize("gamma", [0.99, 0.5, 1.0])
def test_gae_with_lambda_one_targets_the_return(seed: int, credit: Credit, gamma: float) -> None:
    flat = random_episodes(seed)
    _, target = gae(
        flat.value, flat.reward, flat.follow, rates(flat, gamma, credit), np.ones(flat.count)
    )
    slow = slow_returns(flat, gamma, credit, bootstrap=True)
    np.testing.assert_allclose(target, slow, rtol=0, atol=1e-12)


@seeds
@both_credits
@pytest.mark.parametrize("bootstrap", [False, True])
def test_reward_to_go(seed: int, credit: Credit, bootstrap: bool) -> None:
    flat = random_episodes(seed)
    returns = reward_to_go(
        flat.reward,
        flat.follow,
        rates(flat, 0.9, credit),
        flat.bootstrap if bootstrap else None,
    )
    slow = slow_returns(flat, 0.9, credit, bootstrap)
    np.testing.assert_allclose(returns, slow, rtol=0, atol=1e-12)


@seeds
def test_turn_credit_does_not_see_how_long_an_utterance_is(seed: int) -> None:
    """The first token of each turn has the advantage it would have if every turn were one token."""
    flat = random_episodes(seed)
    starts = np.flatnonzero(np.append(True, flat.turn_end[:-1]))
    # Values inside a turn do not matter to its first token when γ = λ = 1 there.
    advantage, _ = gae(
        flat.value, flat.reward, flat.follow, rates(flat, 0.9, "turn"), rates(flat, 0.8, "turn")
    )
    ends = np.flatnonzero(flat.turn_end)
    place = {int(start): index for index, start in enumerate(starts)}
    follow = np.array(
        [n if n < 0 else place.get(n, n - flat.count + len(starts)) for n in flat.follow[ends]]
    )
    single, _ = gae(
        np.append(flat.value[starts], flat.bootstrap),
        flat.reward[ends],
        follow,
        np.full(len(starts), 0.9),
        np.full(len(starts), 0.8),
    )
    np.testing.assert_allclose(advantage[starts], single, rtol=0, atol=1e-12)


def test_worked_example_of_the_fact_sheet() -> None:
    """Two utterances of two tokens, rewards −1 and 2 (algorithms.md, section 1.3)."""
    reward = np.array([0.0, -1.0, 0.0, 2.0])
    follow = np.array([1, 2, 3, -1])
    end = np.array([False, True, False, True])
    token = reward_to_go(reward, follow, per_step(0.99, end, "token"))
    np.testing.assert_allclose(token, [0.950598, 0.9602, 1.98, 2.0], rtol=0, atol=1e-12)
    turn = reward_to_go(reward, follow, per_step(0.99, end, "turn"))
    np.testing.assert_allclose(turn, [0.98, 0.98, 2.0, 2.0], rtol=0, atol=1e-12)


def test_nothing_in_nothing_out() -> None:
    none, where = np.empty(0), np.empty(0, np.int64)
    assert len(reward_to_go(none, where, none)) == 0
    assert [len(part) for part in gae(none, none, where, none, none)] == [0, 0]


def test_arguments_are_left_alone() -> None:
    flat = random_episodes(3)
    before = [column.copy() for column in (flat.value, flat.reward, flat.follow)]
    ones = np.ones(flat.count)
    gae(flat.value, flat.reward, flat.follow, ones, ones)
    reward_to_go(flat.reward, flat.follow, ones, flat.bootstrap)
    whiten(flat.reward)
    for now, then in zip((flat.value, flat.reward, flat.follow), before, strict=True):
        assert (now == then).all()


@seeds
def test_whiten(seed: int) -> None:
    values = np.random.default_rng(seed).normal(3.0, 7.0, size=50)
    mean = sum(values) / 50
    var = sum((v - mean) ** 2 for v in values) / 50  # of the population, not of a sample
    white = [(v - mean) / (var + 1e-8) ** 0.5 for v in values]
    np.testing.assert_allclose(whiten(values), white, rtol=0, atol=1e-12)
    kept = whiten(values, shift_mean=False)
    np.testing.assert_allclose(kept, [w + mean for w in white], rtol=0, atol=1e-12)
    other = whiten(values, mean=1.0, var=4.0)
    np.testing.assert_allclose(other, (values - 1.0) / (4.0 + 1e-8) ** 0.5, rtol=0, atol=1e-12)


def test_whiten_of_a_constant_is_zero_and_not_a_division_by_zero() -> None:
    assert whiten(np.full(4, 2.5)).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (0.1, 1.0),
        (0.11, 1.0 + 0.1 * 32 / 1000),
        (0.5, 1.0 + 0.2 * 32 / 1000),
        (0.0, 1.0 - 0.2 * 32 / 1000),
        (0.09, 1.0 - 0.1 * 32 / 1000),
    ],
)
def test_adapted_kl(kl: float, factor: float) -> None:
    assert adapted_kl(0.5, kl, 0.1, 1000, 32) == pytest.approx(0.5 * factor, rel=1e-12)
