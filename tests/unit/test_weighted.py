"""Weighted cloning, by returns and by advantages: slow twins, and a maze from a random walk."""

import math

import numpy as np
import pytest
import torch
from grid_maze import (
    cloned,
    critic_of_utterances,
    excess_moves,
    learn_offline,
    walks,
)
from rounds import Alone, made_round

from learners.algorithms.offline.rwr import RWR
from learners.algorithms.offline.weighted_iql import WeightedIQL
from learners.algorithms.turns import turns_of
from learners.networks.actor_critic import Network
from learners.networks.outputs import Outputs
from lmrl.trajectory import TERMINATED

seeds = pytest.mark.parametrize("seed", range(4))


@seeds
def test_turns_know_their_tokens_and_their_successors(seed: int) -> None:
    made = made_round(seed)
    turns = turns_of(made.batch)
    flat = [span for episode in made.spans() for span in episode]
    assert turns.first.tolist() == [span[0] for span in flat]
    assert turns.last.tolist() == [span[-1] for span in flat]
    assert turns.turn.tolist() == [i for i, span in enumerate(flat) for _ in span]
    place, cuts = 0, 0
    for episode in made.episodes:
        place += len(episode.turns)
        if episode.ending == TERMINATED:
            assert turns.next[place - 1] == -1
        else:
            assert turns.next[place - 1] == turns.number + cuts
            cuts += 1
        inner = turns.next[place - len(episode.turns) : place - 1]
        assert inner.tolist() == list(range(place - len(episode.turns) + 1, place))


@seeds
def test_reward_weighted_regression_against_a_loop(seed: int) -> None:
    made = made_round(seed)
    algorithm = RWR(gamma=0.9, temperature=1.5, cap=3.0)
    returns = []
    for episode in made.episodes:
        for index, turn in enumerate(episode.turns):
            later = [t.reward for t in episode.turns[index:]]
            returns += [sum(0.9**k * r for k, r in enumerate(later))] * len(turn.action_ids)
    mean = sum(returns) / len(returns)
    weights = [min(math.exp((g - mean) / 1.5), 3.0) for g in returns]
    assert max(weights) == 3.0
    terms = [w * -x for w, x in zip(weights, made.logprob, strict=True)]
    expected = torch.stack(terms).sum() / sum(weights)
    columns, metrics, _ = algorithm.prepare(made.batch, made.old, Alone(), {})
    tensors = {name: torch.as_tensor(column) for name, column in columns.items()}
    none = torch.zeros(0)
    out = Outputs(made.logprob, none, made.logprob, made.entropy)
    loss = algorithm.loss(out, tensors, float(made.batch.actions)).loss
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-7)
    share = sum(weights) ** 2 / sum(w * w for w in weights) / len(weights)
    assert metrics["effective_share"] == pytest.approx(share)


@seeds
@pytest.mark.parametrize(("lam", "near_end"), [(0.0, 0.0), (0.7, 2.0)])
def test_weighted_iql_against_a_loop(seed: int, lam: float, near_end: float) -> None:
    made = made_round(seed)
    old, gamma, tau, scale = made.old, 0.9, 0.8, 2.0
    algorithm = WeightedIQL(
        gamma=gamma, tau=tau, lam=lam, temperature=0.7, cap=4.0, kl_coef=0.1, near_end=near_end,
        critic_coef=0.3, value_scale=scale,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    q = torch.tensor(rng.normal(size=(2, made.batch.actions)))
    v = torch.tensor(rng.normal(size=made.batch.actions))
    policy, critic, weight_sum, count = 0.0, 0.0, 0.0, 0
    for spans, episode in zip(made.spans(), made.episodes, strict=True):
        cut = 0.0 if episode.ending == TERMINATED else old.value[made.batch.next[spans[-1][-1]]]
        values = [old.value[span[0]] for span in spans] + [cut]
        deltas = [
            turn.reward + gamma * values[k + 1] - values[k] for k, turn in enumerate(episode.turns)
        ]
        for k, (span, turn) in enumerate(zip(spans, episode.turns, strict=True)):
            advantage = sum((gamma * lam) ** i * delta for i, delta in enumerate(deltas[k:]))
            clone = min(math.exp(advantage / 0.7), 4.0)
            for n in span:
                policy -= clone * made.logprob[n].item()
                policy += 0.1 * 0.5 * (made.logprob[n].item() - old.reference[n]) ** 2
            y = turn.reward + gamma * values[k + 1]
            lowest = min(old.target_q[0, span[-1]], old.target_q[1, span[-1]])
            weight = 1.0
            if episode.ending == TERMINATED:
                weight += near_end * gamma ** (len(spans) - 1 - k)
            expectile = tau if lowest >= v[span[0]] else 1.0 - tau
            error = sum(0.5 * (float(head[span[-1]]) - y) ** 2 for head in q)
            error += expectile * 0.5 * (float(v[span[0]]) - lowest) ** 2
            critic += weight * error / scale**2
            weight_sum, count = weight_sum + weight, count + len(span)
    columns, _, after = algorithm.prepare(made.batch, old, Alone(), algorithm.start_state())
    tensors = {name: torch.as_tensor(column) for name, column in columns.items()}
    out = Outputs(made.logprob, torch.zeros(0), v, made.entropy, q=q)
    loss = algorithm.loss(out, tensors, float(count)).loss
    assert loss.item() == pytest.approx(policy / count + 0.3 * critic / weight_sum, rel=1e-5)
    assert after == {"updates": 1.0}


def test_the_policy_waits_for_its_critic() -> None:
    made = made_round(0)
    algorithm = WeightedIQL(critic_updates=1)
    state = algorithm.start_state()
    for expected in (True, False):
        columns, _, state = algorithm.prepare(made.batch, made.old, Alone(), state)
        assert bool(np.abs(columns["clone"]).max() == 0.0) is expected


def test_weighted_iql_solves_a_maze_from_a_random_walk() -> None:
    """Its critic stitches: hardly any episode of the data takes a shortest way."""
    torch.manual_seed(0)
    critic = critic_of_utterances()
    algorithm = WeightedIQL(
        tau=0.9,
        gamma=0.9,
        temperature=0.1,
        polyak=0.2,
        value_scale=5.0,
        value_start=-10.0,
        critic_updates=200,
    )
    policy = learn_offline(algorithm, walks(), Network(cloned(), utterances=critic), 400, 0.05)
    assert excess_moves(policy) < 0.8


def test_reward_weighted_regression_improves_on_a_random_walk() -> None:
    walk = excess_moves(cloned())
    policy = learn_offline(RWR(temperature=1.0, cap=1e6), walks(), Network(cloned()), 200, 0.05)
    assert excess_moves(policy) < 0.8 * walk
