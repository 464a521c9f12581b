"""Online algorithms: advantages and losses against slow twins, from the papers' equations."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from rounds import Alone, Round, made_round
from torch import Tensor

from learners.algorithms.online.archer import ArCHer, utterance_targets
from learners.algorithms.online.gigpo import GiGPO
from learners.algorithms.online.grpo import GRPO, DrGRPO
from learners.algorithms.online.gspo import GSPO
from learners.algorithms.online.losses import KLEstimator, importance_weights, kl_estimate
from learners.algorithms.online.on_policy import OnPolicy
from learners.algorithms.online.ppo import PPO
from learners.algorithms.online.reinforce import Reinforce
from learners.algorithms.online.rloo import RLOO
from learners.algorithms.online.turn_ppo import TurnPPO
from learners.algorithms.returns import bi_level_gae, gae, per_step
from learners.collate import collate
from learners.networks.outputs import Outputs
from lmrl.errors import UsageError
from lmrl.trajectory import TERMINATED

seeds = pytest.mark.parametrize("seed", range(4))


def columns_of(algorithm: OnPolicy, made: Round) -> dict[str, Tensor]:
    """Return the columns that `prepare` makes of a round."""
    columns, _, _ = algorithm.prepare(
        made.batch, made.old, Alone(), {**algorithm.start_state(), "epoch": 0.0}
    )
    return {name: torch.as_tensor(column) for name, column in columns.items()}


def loss_of(algorithm: OnPolicy, made: Round) -> Tensor:
    """Return the loss of a round in one pass."""
    n = made.batch.actions
    none = torch.zeros(0, dtype=torch.float64)
    value = torch.as_tensor(made.old.value[:n])
    out = Outputs(made.logprob, none, value, made.entropy)
    return algorithm.loss(out, columns_of(algorithm, made), float(n)).loss


def clipped(ratio: Tensor, advantage: float, low: float, high: float) -> Tensor:
    """Return −min(ρ A, clip(ρ) A)."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


# -- advantages -----------------------------------------------------------------------------------


def returns_with_kl(algorithm: OnPolicy, made: Round) -> list[float]:
    """Return Σ r − β Σ d of each episode, with the penalty if it is in the reward."""
    found = []
    for episode, turns in zip(made.episodes, made.spans(), strict=True):
        total = sum(turn.reward for turn in episode.turns)
        if algorithm.kl_in == "reward":
            for n in (n for turn in turns for n in turn):
                total -= algorithm.kl_coef * (made.old.logprob[n] - made.old.reference[n])
        found.append(total)
    return found


def rloo_twin(algorithm: OnPolicy, made: Round) -> list[float]:
    returns = returns_with_kl(algorithm, made)
    found = []
    for i, own in enumerate(returns):
        others = [r for j, r in enumerate(returns) if made.groups[j] == made.groups[i] and j != i]
        found.append(own - sum(others) / len(others) if others else 0.0)
    return found


def grpo_twin(algorithm: OnPolicy, made: Round, by_std: bool = True) -> list[float]:
    returns = returns_with_kl(algorithm, made)
    found = []
    for i, own in enumerate(returns):
        group = [r for j, r in enumerate(returns) if made.groups[j] == made.groups[i]]
        mean = sum(group) / len(group)
        std = math.sqrt(sum((r - mean) ** 2 for r in group) / len(group))
        found.append((own - mean) / (std + 1e-4 if by_std else 1.0) if len(group) > 1 else 0.0)
    return found


@seeds
@pytest.mark.parametrize(
    ("algorithm", "twin"),
    [
        (RLOO(kl_coef=0.0), rloo_twin),
        (RLOO(kl_coef=0.3), rloo_twin),
        (GRPO(), grpo_twin),
        (GRPO(kl_in="reward", kl_estimator="k1"), grpo_twin),
        (DrGRPO(), lambda a, m: grpo_twin(a, m, by_std=False)),
    ],
    ids=["rloo", "rloo-kl", "grpo", "grpo-kl", "dr-grpo"],
)
def test_episodes_are_compared_within_their_group(
    seed: int, algorithm: OnPolicy, twin: Callable[[OnPolicy, Round], list[float]]
) -> None:
    made = made_round(seed)
    advantage = columns_of(algorithm, made)["advantage"]
    for expected, turns in zip(twin(algorithm, made), made.spans(), strict=True):
        for n in (n for turn in turns for n in turn):
            assert advantage[n] == pytest.approx(expected, abs=1e-6)


@seeds
def test_equal_returns_have_no_advantage(seed: int) -> None:
    made = made_round(seed, (4, 4))
    same = [
        replace(e, turns=tuple(replace(t, reward=0.1 / len(e.turns)) for t in e.turns))
        for e in made.episodes
    ]
    made = made._replace(batch=collate(same, groups=np.array(made.groups)))
    for algorithm in (RLOO(kl_coef=0.0), GRPO(), DrGRPO()):
        _, metrics, _ = algorithm.prepare(made.batch, made.old, Alone(), algorithm.start_state())
        assert columns_of(algorithm, made)["advantage"].abs().max() < 1e-4
        assert metrics["equal_groups"] == 1.0 and metrics["group_size"] == 4.0


@seeds
def test_reinforce_subtracts_the_mean_of_the_round(seed: int) -> None:
    made = made_round(seed)
    gamma = 0.9
    expected = []
    for episode in made.episodes:
        for index, turn in enumerate(episode.turns):
            later = [t.reward for t in episode.turns[index:]]
            total = sum(gamma**k * r for k, r in enumerate(later))
            expected += [total] * len(turn.action_ids)
    mean = sum(expected) / len(expected)
    std = math.sqrt(sum((g - mean) ** 2 for g in expected) / len(expected))
    found = columns_of(Reinforce(gamma=gamma, kl_coef=0.0), made)["advantage"]
    np.testing.assert_allclose(found, [(g - mean) / std for g in expected], rtol=1e-5, atol=1e-6)
    found = columns_of(Reinforce(gamma=gamma, kl_coef=0.0, whiten=False), made)["advantage"]
    np.testing.assert_allclose(found, [g - mean for g in expected], rtol=1e-5, atol=1e-6)


@seeds
@pytest.mark.parametrize("by_std", [True, False])
def test_gigpo_compares_turns_in_equal_states(seed: int, by_std: bool) -> None:
    made = made_round(seed)
    gamma, weight = 0.9, 0.7
    algorithm = GiGPO(gamma=gamma, step_weight=weight, by_std=by_std)
    anchors: dict[tuple[int, int], list[float]] = {}
    steps = []
    for group, episode in zip(made.groups, made.episodes, strict=True):
        for index, record in enumerate(episode.turns):
            later = [t.reward for t in episode.turns[index:]]
            total = sum(gamma**k * r for k, r in enumerate(later))
            key = (group, int(record.observation_ids[0]))
            anchors.setdefault(key, []).append(total)
            steps.append((key, total))
    assert any(len(same) > 1 for same in anchors.values())
    advantage = columns_of(algorithm, made)["advantage"]
    place = iter(steps)
    for whole, turns in zip(grpo_twin(algorithm, made, by_std), made.spans(), strict=True):
        for turn in turns:
            key, total = next(place)
            same = anchors[key]
            mean = sum(same) / len(same)
            std = math.sqrt(sum((g - mean) ** 2 for g in same) / len(same))
            step = (total - mean) / (std + 1e-4 if by_std else 1.0) if len(same) > 1 else 0.0
            for n in turn:
                assert advantage[n] == pytest.approx(whole + weight * step, abs=1e-5)


def bi_level_twin(made: Round, between: Any, inside: Any) -> list[float]:
    """Return the advantages of two levels as sums of temporal differences."""
    batch, value = made.batch, made.old.value
    found = [0.0] * batch.actions
    for turns, played in zip(made.spans(), made.episodes, strict=True):
        ends = [turn[-1] for turn in turns]
        after = [value[e] for e in ends[1:]]
        last = batch.next[ends[-1]]
        after.append(0.0 if played.ending == TERMINATED else value[last])
        deltas = []
        for k, end in enumerate(ends):
            inner = sum(batch.reward[n] for n in turns[k + 1][:-1]) if k + 1 < len(turns) else 0.0
            deltas.append(batch.reward[end] + inner + between[0] * after[k] - value[end])
        rate = between[0] * between[1]
        for k, turn in enumerate(turns):
            of_turn = sum(rate**i * delta for i, delta in enumerate(deltas[k:]))
            for i, n in enumerate(turn):
                total, scale = 0.0, 1.0
                for m in turn[i:-1]:
                    total += scale * (batch.reward[m] + inside[0] * value[m + 1] - value[m])
                    scale *= inside[0] * inside[1]
                found[n] = total + scale * of_turn
    return found


@seeds
@pytest.mark.parametrize("between", [(0.9, 0.8), (1.0, 1.0)])
@pytest.mark.parametrize("inside", [(0.95, 0.7), (1.0, 1.0), (1.0, 0.0)])
def test_turn_advantages_reach_the_tokens_through_their_last_one(
    seed: int, between: Any, inside: Any
) -> None:
    made = made_round(seed)
    rng = np.random.default_rng(seed)
    # Rewards inside of turns too, as a KL penalty gives them.
    reward = rng.normal(size=made.batch.actions).astype(np.float32)
    made = made._replace(batch=replace(made.batch, reward=reward))
    batch, value = made.batch, made.old.value
    found, target = bi_level_gae(value, batch.reward, batch.next, batch.turn_end, between, inside)
    np.testing.assert_allclose(found, bi_level_twin(made, between, inside), atol=1e-5)
    np.testing.assert_allclose(target, found + value[: batch.actions])
    if between == inside == (1.0, 1.0):  # then both levels are the return less the value
        ones = per_step(1.0, batch.turn_end, "token")
        np.testing.assert_allclose(
            found, gae(value, batch.reward, batch.next, ones, ones)[0], atol=1e-5
        )


@seeds
def test_archer_values_utterances(seed: int) -> None:
    made = made_round(seed)
    batch, old = made.batch, made.old
    found = utterance_targets(batch, old.value, old.target_q, batch.reward, 0.9)
    place = 0
    for turns, episode in zip(made.spans(), made.episodes, strict=True):
        for k, (span, turn) in enumerate(zip(turns, episode.turns, strict=True)):
            if k + 1 < len(turns):
                after = old.value[turns[k + 1][0]]
            else:
                after = 0.0 if episode.ending == TERMINATED else old.value[batch.next[span[-1]]]
            lowest = min(old.target_q[0, span[-1]], old.target_q[1, span[-1]])
            assert found.q[place] == pytest.approx(turn.reward + 0.9 * after)
            assert found.v[place] == pytest.approx(lowest)
            assert found.advantage[place] == pytest.approx(lowest - old.value[span[0]])
            place += 1
    assert place == len(found.q)


@seeds
def test_the_critic_of_utterances_learns_at_the_borders_of_turns(seed: int) -> None:
    made = made_round(seed)
    batch = made.batch
    algorithm = ArCHer(kl_coef=0.0, warmup=1, critic_epochs=1, value_scale=2.0, critic_coef=0.3)
    rng = np.random.default_rng(seed)
    q = torch.tensor(rng.normal(size=(2, batch.actions)), requires_grad=True)
    v = torch.tensor(rng.normal(size=batch.actions), requires_grad=True)
    out = Outputs(made.logprob, torch.zeros(0), v, made.entropy, q=q)
    n = float(batch.actions)
    losses = []
    for updates, epoch in ((0.0, 1.0), (1.0, 0.0), (1.0, 1.0)):  # the actor learns in the last only
        state = {**algorithm.start_state(), "updates": updates, "epoch": epoch}
        columns, _, after = algorithm.prepare(batch, made.old, Alone(), state)
        assert after["updates"] == updates + 1.0
        tensors = {name: torch.as_tensor(column) for name, column in columns.items()}
        losses.append(algorithm.loss(out, tensors, n).loss)
    targets = utterance_targets(batch, made.old.value, made.old.target_q, batch.reward, 0.95)
    total, turns = torch.zeros((), dtype=torch.float64), 0
    for span in (turn for episode in made.spans() for turn in episode):
        for head in q:
            total = total + 0.5 * ((head[span[-1]] - targets.q[turns]) / 2.0) ** 2
        total = total + 0.5 * ((v[span[0]] - targets.v[turns]) / 2.0) ** 2
        turns += 1
    for loss in losses[:2]:
        torch.testing.assert_close(loss, 0.3 * total / turns)
    gradients = [torch.autograd.grad(loss, made.logprob, retain_graph=True)[0] for loss in losses]
    assert [float(gradient.abs().max()) > 0.0 for gradient in gradients] == [False, False, True]


# -- losses ---------------------------------------------------------------------------------------


def same_loss(found: Tensor, expected: Tensor, made: Round) -> None:
    """Fail unless two losses of a round and their gradients are equal."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    inputs = [made.logprob, made.entropy]
    a, b = (
        torch.autograd.grad(x, inputs, allow_unused=True, retain_graph=True)
        for x in (found, expected)
    )
    for one, other in zip(a, b, strict=True):
        if one is not None or other is not None:
            assert one is not None and other is not None
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@seeds
def test_grpo_is_the_published_objective(seed: int) -> None:
    """Equation 3 with the estimate of equation 4, as loops over episodes and tokens."""
    made = made_round(seed)
    algorithm = GRPO(clip=0.1, kl_coef=0.2)
    objective = torch.zeros((), dtype=torch.float64)
    for advantage, turns in zip(grpo_twin(algorithm, made), made.spans(), strict=True):
        tokens = [n for turn in turns for n in turn]
        for n in tokens:
            ratio = (made.logprob[n] - made.old.logprob[n]).exp()
            gap = made.old.reference[n] - made.logprob[n]
            kl = gap.exp() - gap - 1.0
            term = clipped(ratio, advantage, 0.1, 0.1) + 0.2 * kl
            objective = objective + term / len(tokens) / len(made.episodes)
    same_loss(loss_of(algorithm, made), objective, made)


@seeds
def test_dr_grpo_and_rloo_weigh_every_token_alike(seed: int) -> None:
    made = made_round(seed)
    for algorithm, twin in (
        (DrGRPO(), grpo_twin(DrGRPO(), made, by_std=False)),
        (RLOO(kl_coef=0.3), rloo_twin(RLOO(kl_coef=0.3), made)),
    ):
        total = torch.zeros((), dtype=torch.float64)
        for advantage, turns in zip(twin, made.spans(), strict=True):
            for n in (n for turn in turns for n in turn):
                ratio = (made.logprob[n] - made.old.logprob[n]).exp()
                total = total + clipped(ratio, advantage, 0.2, 0.2) / made.batch.actions
        same_loss(loss_of(algorithm, made), total, made)


@seeds
def test_gspo_clips_the_ratio_of_a_turn(seed: int) -> None:
    made = made_round(seed)
    algorithm = GSPO(kl_coef=0.0, clip=0.05, clip_high=0.2)
    total = torch.zeros((), dtype=torch.float64)
    for advantage, turns in zip(grpo_twin(algorithm, made), made.spans(), strict=True):
        length = sum(len(turn) for turn in turns)
        for turn in turns:
            logs = [made.logprob[n] - made.old.logprob[n] for n in turn]
            ratio = (torch.stack(logs).sum() / len(turn)).exp()
            total = total + clipped(ratio, advantage, 0.05, 0.2) * len(turn) / length
    same_loss(loss_of(algorithm, made), total / len(made.episodes), made)


UNITS = ("token", "turn", "episode")


@seeds
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("masks", [(False, False), (True, False), (False, True), (True, True)])
def test_shared_options_against_loops(seed: int, unit: Any, masks: tuple[bool, bool]) -> None:
    """Clip-higher, means over units, masks, importance weights, KL in the loss, entropy bonus."""
    made = made_round(seed, (3, 3, 2))
    mask_cut, skip_equal = masks
    if skip_equal:  # the first group gets equal returns
        episodes = [
            replace(e, turns=tuple(replace(t, reward=1.0 / len(e.turns)) for t in e.turns))
            if g == 0
            else e
            for e, g in zip(made.episodes, made.groups, strict=True)
        ]
        batch = collate(episodes, groups=np.array(made.groups))
        made = made._replace(episodes=episodes, batch=batch)
    algorithm = GRPO(
        clip=0.1, clip_high=0.25, mean_over=unit, mask_cut=mask_cut, skip_equal=skip_equal,
        importance_cap=1.1, kl_coef=0.2, kl_estimator="k2", entropy_coef=0.05,
    )  # fmt: skip
    terms: list[list[list[Tensor]]] = []
    for i, (advantage, turns) in enumerate(
        zip(grpo_twin(algorithm, made), made.spans(), strict=True)
    ):
        returns = [
            sum(t.reward for t in e.turns)
            for e, g in zip(made.episodes, made.groups, strict=True)
            if g == made.groups[i]
        ]
        equal = max(returns) - min(returns) < 1e-6
        terms.append([])
        for turn, record in zip(turns, made.episodes[i].turns, strict=True):
            terms[-1].append([])
            if (mask_cut and record.cut) or (skip_equal and equal):
                continue
            for k, n in enumerate(turn):
                ratio = (made.logprob[n] - made.old.logprob[n]).exp()
                weight = min(math.exp(made.old.logprob[n] - record.logprobs[k]), 1.1)
                kl = 0.5 * (made.logprob[n] - made.old.reference[n]) ** 2
                term = weight * clipped(ratio, advantage, 0.1, 0.25) + 0.2 * kl
                terms[-1][-1].append(term - 0.05 * made.entropy[n])
    by_turn = [turn for episode in terms for turn in episode if turn]
    by_episode = [[x for turn in e for x in turn] for e in terms]
    units = {
        "token": [[x] for turn in by_turn for x in turn],
        "turn": by_turn,
        "episode": [e for e in by_episode if e],
    }[unit]
    expected = torch.stack([torch.stack(members).mean() for members in units]).mean()
    same_loss(loss_of(algorithm, made), expected, made)


@seeds
def test_every_option_belongs_to_every_algorithm(seed: int) -> None:
    made = made_round(seed)
    q = torch.zeros(2, made.batch.actions, dtype=torch.float64)
    for kind in (PPO, TurnPPO, Reinforce, RLOO, GRPO, DrGRPO, GSPO, GiGPO, ArCHer):
        algorithm = kind(
            clip_high=0.3, ratio="turn", mean_over="turn", importance_cap=2.0, kl_coef=0.1,
            kl_in="loss", kl_estimator="k3", entropy_coef=0.01, mask_cut=True,
        )  # fmt: skip
        none = torch.zeros(0)
        value = torch.zeros(made.batch.actions, dtype=torch.float64)
        out = Outputs(made.logprob, none, value, made.entropy, q=q)
        found = algorithm.loss(out, columns_of(algorithm, made), float(made.batch.actions))
        assert found.loss.isfinite() and "kl_loss" in found.sums


def test_without_a_kept_token_nothing_is_learned() -> None:
    made = made_round(0)
    episodes = [
        replace(e, turns=tuple(replace(t, cut=True) for t in e.turns)) for e in made.episodes
    ]
    made = made._replace(batch=collate(episodes, groups=np.array(made.groups)))
    loss = loss_of(GRPO(mask_cut=True), made)
    assert loss == 0.0 and torch.autograd.grad(loss, made.logprob)[0].abs().max() == 0.0


# -- KL and importance ----------------------------------------------------------------------------


def test_estimates_of_the_kl_divergence() -> None:
    rng = np.random.default_rng(0)
    start = np.log(rng.dirichlet(np.ones(5)))
    policy = start + 0.8 * rng.normal(size=5)
    policy -= np.log(np.exp(policy).sum())
    exact = float((np.exp(policy) * (policy - start)).sum())
    tokens = rng.choice(5, 200_000, p=np.exp(policy))
    d = (policy - start)[tokens]
    biases: dict[KLEstimator, float] = {"k1": 0.02, "k2": 0.5, "k3": 0.02}
    for kind, bias in biases.items():
        mean = kl_estimate(d, kind).mean()
        assert mean == pytest.approx(exact, rel=bias), kind
        tensor = kl_estimate(torch.tensor(d), kind)
        torch.testing.assert_close(tensor.mean().item(), mean)
    assert (kl_estimate(d, "k3") >= 0).all()


@pytest.mark.parametrize(("kind", "scale"), [("k1", 0.0), ("k2", 1.0)])
def test_gradients_of_the_estimates(kind: Any, scale: float) -> None:
    """The expected gradient of k2 is that of the divergence, and that of k1 is 0."""
    logits = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    start = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    start = start.log_softmax(-1)
    policy = logits.log_softmax(-1)
    exact = torch.autograd.grad((policy.exp() * (policy - start)).sum(), logits, retain_graph=True)
    # Each token has its probability as a weight without gradient: the expectation over samples.
    estimate = (policy.exp().detach() * kl_estimate(policy - start, kind)).sum()
    found = torch.autograd.grad(estimate, logits)
    torch.testing.assert_close(found[0], scale * exact[0], atol=1e-12, rtol=1e-9)


def test_importance_weights_are_truncated_and_only_for_sampled_tokens() -> None:
    old, sampler = np.array([-1.0, -1.0, -9.0, -1.0]), np.array([-1.0, -3.0, -1.0, 0.0])
    sampled = np.array([True, True, True, False])
    found = importance_weights(old, sampler, sampled, 2.0)
    np.testing.assert_allclose(found, [1.0, 2.0, math.exp(-8.0), 1.0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GRPO(kl_coef=0.0, kl_target=0.1), r"algorithm\.kl_target 0\.1"),
        (lambda: PPO(value_bins=50), r"algorithm\.value_bounds"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        make()
