"""`OnPolicy`: what all algorithms that learn from rounds of fresh episodes have in common.

A subclass defines `estimates`, the advantage of every action token. The clipped loss, the KL
penalty, the weights of tokens and the metrics are defined here, once, for all of them.

The formulas of papers about single-turn tasks are read like this: their *sequence*, the response to
a prompt, is an episode, without the tokens of observations. Its reward is the episode's return.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np

from learners.algorithms.base import (
    Algorithm,
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TaskFacts,
)
from learners.algorithms.online.groups import equal_groups
from learners.algorithms.online.losses import (
    LOG_RATIO,
    KLEstimator,
    PolicyTerms,
    Unit,
    importance_weights,
    kl_estimate,
    policy_terms,
    unit_sizes,
)
from learners.algorithms.returns import Values, adapted_kl
from learners.algorithms.turns import turns_of
from learners.batch import Batch
from lmrl.errors import UsageError
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Used

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs

_WITH_KL = Used("algorithm.kl_coef")


@dataclass(frozen=True)
class OnPolicy(Algorithm):
    """An algorithm that learns from rounds of episodes of its own policy.

    Attributes:
        clip: largest distance of the probability ratio from 1 below it, and above it too if
            `clip_high` is None.
        clip_high: largest distance of the ratio from 1 above it.
        ratio: unit of the probability ratio: that of each `token`, or the geometric mean over the
            tokens of a `turn`.
        mean_over: what the loss is a mean of: tokens, the means of turns, or the means of episodes.
            With `token` a long episode counts more than a short one.
        importance_cap: largest weight π / π_sampler of a token, for samplers that compute in
            another precision than the learner; None does not weight.
        kl_coef: weight of the KL penalty towards the start policy, per action token; 0 keeps no
            copy of the start policy.
        kl_in: place of the penalty: subtracted from the `reward`, or a term of the `loss`.
        kl_estimator: estimate of the KL divergence, see
            `learners.algorithms.online.losses.kl_estimate`. In the loss choose `k2` or `k3`:
            the gradient of `k1` has mean 0.
        kl_target: value of `kl_to_start` towards which the coefficient adapts, in nats per token;
            `kl_coef` has to begin above 0 then. None keeps the coefficient fixed.
        kl_horizon: time scale of that adaptation, in episodes.
        entropy_coef: weight of the policy's entropy, a bonus in the loss, per action token.
        group: number of episodes that begin in the same state, with the same seed of the task.
        skip_equal: whether groups whose episodes all have the same return are left out of the loss.
        mask_cut: whether the tokens of actions that were cut at `rollouts.max_tokens` are left out
            of the loss.
        epochs: number of passes over each round.
        minibatch: number of segments per optimiser step, all ranks together; 0 is the whole round.
        kl_stop: approximate KL of a minibatch above which the rest of the round is skipped, in
            nats; None never skips.
        bc_coef: weight of a behaviour-cloning term on the data set of `data.path`. Each optimiser
            step draws `data.batch` new episodes of it.
    """

    clip: Annotated[float, POSITIVE] = 0.2
    clip_high: Annotated[float | None, POSITIVE] = None
    ratio: Literal["token", "turn"] = "token"
    mean_over: Unit = "token"
    importance_cap: Annotated[float | None, POSITIVE] = None
    kl_coef: Annotated[float, NOT_NEGATIVE] = 0.01
    kl_in: Annotated[Literal["reward", "loss"], _WITH_KL] = "reward"
    kl_estimator: Annotated[KLEstimator, _WITH_KL] = "k1"
    kl_target: Annotated[float | None, POSITIVE] = None
    kl_horizon: Annotated[float, POSITIVE, Used("algorithm.kl_target")] = 10_000.0
    entropy_coef: Annotated[float, NOT_NEGATIVE] = 0.0
    group: Annotated[int, COUNT] = 1
    skip_equal: Annotated[bool, Used("algorithm.grouped", "with algorithm.group above 1")] = False
    mask_cut: bool = False
    epochs: Annotated[int, COUNT] = 4
    minibatch: Annotated[int, NOT_NEGATIVE] = 256
    kl_stop: Annotated[float | None, POSITIVE] = 0.03
    bc_coef: Annotated[float, NOT_NEGATIVE] = 0.0

    on_policy: ClassVar[bool] = True

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with a larger KL penalty, and smaller steps for small models."""
        return cls(kl_coef=0.05, minibatch=64)

    @property
    def grouped(self) -> bool:
        """Whether several episodes begin in the same state."""
        return self.group > 1

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            UsageError: for a KL target without a coefficient to adapt.
        """
        if self.kl_target is not None and not self.kl_coef > 0:
            raise UsageError(
                f"algorithm.kl_target {self.kl_target:g} multiplies algorithm.kl_coef by factors, "
                f"and that is {self.kl_coef:g}; give algorithm.kl_coef a value above 0"
            )

    def evaluates(self, state: Mapping[str, float]) -> bool:
        """Return True: `prepare` needs old log-probabilities."""
        return True

    @property
    def reference(self) -> bool:
        """Whether a frozen start policy is needed."""
        return self.kl_coef > 0

    def network(self, load: Callable[[], CausalLM]) -> nn.Module:
        """Return the policy, without a critic."""
        from learners.networks.actor_critic import Network

        return Network(load(), entropy_gradient=self.entropy_coef > 0)

    def start_state(self) -> dict[str, float]:
        """Return the KL coefficient of the first round."""
        return {"kl_coef": self.kl_coef}

    @abstractmethod
    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return the column `advantage` `[N]`, further columns for `loss`, and metrics.

        Args:
            batch: this rank's episodes; all episodes of a group are on one rank.
            old: network outputs before the first optimiser step on the batch.
            reward: reward of each action token, with the KL penalty if that is in the reward `[N]`.
            group: process group of all ranks.
        """

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return old log-probabilities, advantages and weights `[N]` of a round.

        The metric `kl_to_start` is the mean of ρ − 1 − log ρ with ρ = π_start / π over tokens of π.
        This is an unbiased estimate of KL(π ‖ π_start) (Schulman 2020, "Approximating KL
        divergence", k3). `kl_to_start_published` uses the inverse ratio, as the benchmark's code
        does. It estimates χ²(π ‖ π_start) − KL(π ‖ π_start) and controls nothing here.
        """
        coefficient = state["kl_coef"]
        log_ratio = old.logprob - old.reference if self.reference else np.zeros(batch.actions)
        reward = batch.reward
        if self.kl_in == "reward":
            reward = reward - coefficient * kl_estimate(log_ratio, self.kl_estimator)
        columns, metrics = self.estimates(batch, old, reward, group)
        columns["old_logprob"] = old.logprob
        metrics["kl_coef"] = coefficient
        bounded = np.clip(log_ratio, -LOG_RATIO, LOG_RATIO).astype(np.float64)
        sampled = batch.version >= 0
        gap = np.abs(old.logprob - batch.logprob)[sampled]
        n, kl, published, mismatch, sampled_n, cut, episodes = group.total(
            batch.actions,
            (np.expm1(-bounded) + bounded).sum(),
            (np.expm1(bounded) - bounded).sum(),
            gap.sum(),
            sampled.sum(),
            batch.cut.sum(),
            batch.episodes,
        )
        n = max(n, 1.0)
        metrics |= {
            "kl_to_start": kl / n,
            "kl_to_start_published": published / n,
            "sampler_gap": mismatch / max(sampled_n, 1.0),
            "cut_tokens": cut / n,
        }
        if self.importance_cap is not None:
            weight = importance_weights(old.logprob, batch.logprob, sampled, self.importance_cap)
            # A weight is never negative, so the clipped loss of a weighted advantage is the
            # weighted clipped loss.
            columns["advantage"] = columns["advantage"] * weight
            metrics["importance"] = group.total(weight.sum())[0] / n
        more, weighing = self._token_weights(batch, group, n)
        columns |= more
        metrics |= weighing
        if self.kl_in == "loss" and self.reference:
            columns["reference"] = old.reference
            columns["kl_weight"] = np.full(batch.actions, coefficient)
        if self.ratio == "turn":
            columns["turn_end"] = batch.turn_end.astype(np.float64)
        if self.kl_target is not None:
            coefficient = adapted_kl(coefficient, kl / n, self.kl_target, self.kl_horizon, episodes)
        return columns, metrics, {"kl_coef": coefficient}

    def _token_weights(
        self, batch: Batch, group: ProcessGroup, tokens: float
    ) -> tuple[Columns, Metrics]:
        """Return the column `weight` `[N]` with mean 1, if not all weights are 1, and metrics.

        A token that is left out has weight 0. The others share the weight of their unit equally,
        and all units have the same weight.

        Args:
            batch: this rank's episodes.
            group: process group of all ranks.
            tokens: number of action tokens of all ranks.
        """
        if self.mean_over == "token" and not self.mask_cut and not self.skip_equal:
            return {}, {}
        keep = np.ones(batch.actions, np.bool_)
        if self.mask_cut:
            keep &= ~batch.cut
        if self.skip_equal and self.grouped:
            keep &= ~equal_groups(batch)
        units = {
            "token": np.arange(batch.actions),
            "turn": turns_of(batch).turn,
            "episode": batch.episode,
        }[self.mean_over]
        size, mine = unit_sizes(keep, units, batch.actions + batch.episodes)
        count, kept = group.total(mine, keep.sum())
        weight = keep * tokens / (size * max(count, 1.0))
        return {"weight": weight}, {"masked_tokens": 1.0 - kept / tokens}

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return the clipped policy loss + KL penalty − entropy bonus of a micro-batch."""
        terms = policy_terms(
            out.logprob,
            targets["old_logprob"],
            targets["advantage"],
            self.clip,
            self.clip if self.clip_high is None else self.clip_high,
            targets.get("turn_end"),
        )
        return self.policy_loss(out, terms, targets, normaliser)

    def policy_loss(
        self, out: Outputs, terms: PolicyTerms, targets: Mapping[str, Tensor], normaliser: float
    ) -> LossOutput:
        """Return the weighted sum of the policy's terms, with their metrics.

        Args:
            out: outputs of the network at the entries `[E]`.
            terms: terms of the policy loss `[E]`.
            targets: columns of `prepare` `[E]`.
            normaliser: number of action tokens of the minibatch, all ranks together.
        """
        weight = targets.get("weight", 1.0)
        policy = (terms.policy * weight).sum()
        total = policy
        sums = {
            "policy_loss": policy.detach(),
            "approx_kl": terms.approx_kl.sum(),
            "ratio": terms.ratio.sum(),
            "policy_clipfrac": terms.clipped.sum(),
            "entropy": out.entropy.detach().sum(),
        }
        if "kl_weight" in targets:
            kl = kl_estimate(out.logprob - targets["reference"], self.kl_estimator)
            penalty = (targets["kl_weight"] * kl * weight).sum()
            total = total + penalty
            sums["kl_loss"] = penalty.detach()
        if self.entropy_coef:
            total = total - self.entropy_coef * (out.entropy * weight).sum()
        return LossOutput(total / normaliser, sums)

    def stop(self, metrics: Metrics) -> bool:
        """Return whether the approximate KL of the latest minibatch exceeds `kl_stop`."""
        return self.kl_stop is not None and metrics["approx_kl"] > self.kl_stop
