"""PPO's estimates and bounds: KL towards the start policy, ratios, spreads."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from learners.algorithms.base import OldOutputs
from learners.algorithms.online.losses import policy_terms
from learners.algorithms.online.ppo import PPO
from learners.batch import Batch
from learners.collate import collate
from learners.networks.outputs import Outputs
from lmrl.errors import UsageError
from lmrl.trajectory import TERMINATED, Trajectory, Turn


class Alone:
    """One rank."""

    def total(self, *values: float) -> list[float]:
        return [float(v) for v in values]


def batch_of(tokens: int, reward: float = 0.0) -> Batch:
    """Return one episode whose only turn has so many action tokens."""
    ids = np.zeros(tokens, np.int32)
    turn = Turn("", np.zeros(1, np.int32), 1, "", ids, ids.astype(np.float32), ids, reward)
    return collate([Trajectory("made-up", {}, 0, (turn,), TERMINATED, "", ids[:0], 1)])


def prepared(algorithm: PPO, logprob: Any, reference: Any, coefficient: float = 0.1) -> Any:
    """Return what `prepare` does with log-probs of the policy and the start policy."""
    batch = batch_of(len(logprob))
    old = OldOutputs(
        np.asarray(logprob), np.zeros(batch.entries), np.asarray(reference), np.zeros((0, 0))
    )
    return algorithm.prepare(batch, old, Alone(), {"kl_coef": coefficient})


@pytest.mark.parametrize("shift", [0.2, 1.0, 2.0])
def test_the_kl_to_the_start_policy_is_the_kl(shift: float) -> None:
    """Metric and controller: the estimate over many tokens of the policy is its KL divergence."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=6)
    start = logits - np.log(np.exp(logits).sum())
    moved = logits + shift * rng.normal(size=6)
    policy = moved - np.log(np.exp(moved).sum())
    exact = float((np.exp(policy) * (policy - start)).sum())
    tokens = rng.choice(6, 40_000, p=np.exp(policy))
    algorithm = PPO(kl_coef=0.1, kl_target=exact / 1.1, kl_horizon=1.0)
    _, metrics, state = prepared(algorithm, policy[tokens], start[tokens])
    assert metrics["kl_to_start"] == pytest.approx(exact, rel=0.05)
    assert metrics["kl_to_start_published"] > 1.2 * exact or shift < 1.0
    assert state["kl_coef"] == pytest.approx(0.1 * 1.1, rel=0.05)  # the error is a tenth


def test_a_kl_target_without_a_coefficient_is_refused() -> None:
    with pytest.raises(UsageError, match=r"algorithm\.kl_target 0\.1 .* algorithm\.kl_coef"):
        PPO(kl_coef=0.0, kl_target=0.1)


def test_a_kl_that_is_not_finite_leaves_the_coefficient() -> None:
    *_, state = prepared(PPO(kl_target=0.1), [np.nan, 0.0], [0.0, 0.0])
    assert state["kl_coef"] == 0.1


@pytest.mark.parametrize(("count", "value"), [(3, 0.1), (3, 7.7), (7, 0.3), (10, 1 / 3), (4, 2.0)])
def test_equal_advantages_have_no_spread(count: int, value: float) -> None:
    """Where mean square less squared mean is below 0 by rounding, its root is no real number."""
    one = np.zeros(1, np.int32)
    turn = Turn("", one, 1, "", one, one.astype(np.float32), one, 0.0)
    batch = collate([Trajectory("made-up", {}, 0, (turn,), TERMINATED, "", one[:0], 1)] * count)
    old = OldOutputs(np.zeros(count), np.full(count, -value), np.zeros(count), np.zeros((0, 0)))
    columns, metrics, _ = PPO().prepare(batch, old, Alone(), {"kl_coef": 0.0})
    assert isinstance(metrics["advantage_std"], float)
    assert metrics["advantage_std"] == pytest.approx(0.0, abs=1e-6)
    assert np.abs(columns["advantage"]).max() < 1e-6


def test_ratios_of_far_policies_stay_finite() -> None:
    logprob = torch.tensor([0.0, -300.0, -1.0], requires_grad=True)
    old = torch.tensor([-300.0, 0.0, -1.0])
    terms = policy_terms(logprob, old, torch.tensor([-1.0, -1.0, 1.0]), 0.2, 0.2)
    loss: Tensor = terms.policy.sum()
    loss.backward()
    assert logprob.grad is not None and logprob.grad.isfinite().all()
    for found in (terms.policy, terms.ratio, terms.approx_kl):
        assert found.isfinite().all()
    _, metrics, _ = prepared(PPO(), [0.0, -900.0], [-900.0, 0.0])
    assert np.isfinite(metrics["kl_to_start"])


def test_targets_outside_the_bins_are_counted() -> None:
    algorithm = PPO(value_bins=20, value_bounds=(-1.0, 0.0), kl_coef=0.0, gamma=1.0, lam=1.0)
    batch = batch_of(4, -2.0)
    old = OldOutputs(np.zeros(4), np.zeros(4), np.zeros(4), np.zeros((0, 0)))
    columns, metrics, _ = algorithm.prepare(batch, old, Alone(), {"kl_coef": 0.0})
    assert metrics["value_targets_clipped"] == 1.0
    none = torch.zeros(4)
    out = Outputs(none, none[:0], none, none, torch.zeros(4, 20))
    targets = {name: torch.as_tensor(column) for name, column in columns.items()}
    assert torch.isfinite(algorithm.loss(out, targets, 4.0).loss)
