"""Proximal policy optimisation over action tokens, with the benchmark's parity switches.

The defaults repair faults that the published loop has on long episodes:

- Credit is discounted at turn borders instead of at every token.
- Values are not clipped: with returns of -100 a clip of 0.2 stops the critic from learning.
- The learner clips gradients.
- A time limit is bootstrapped.

`credit="token"`, `value_clip=0.2` and `value_scale=1` give the published formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, Self

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
from learners.algorithms.bins import check_bins, clipped_targets
from learners.algorithms.returns import Credit, adapted_kl, gae, per_step, whiten
from learners.batch import Batch
from learners.config import CriticKind
from lmrl.errors import UsageError
from lmrl.limits import BOUNDS, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Used

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from learners.networks.actor_critic import Network
    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs

LOG_RATIO = 20.0
"""Largest log of a probability ratio of which the exponential is taken. The ratio of 5e8 is far
outside every clip, and its sums stay finite in float32."""


class PPOTerms(NamedTuple):
    """Per-token terms of the PPO loss, `[N]` each.

    Attributes:
        policy: policy loss max(−A ρ, −A clip(ρ)).
        value: half the squared error of the value; the larger one of clipped and unclipped.
        ratio: probability ratio ρ = exp(log π − log π_old), with the log between -20 and 20.
        approx_kl: estimate ρ − 1 − log ρ of KL(π_old ‖ π), in nats.
        policy_clipped, value_clipped: 1 where the clipped term is strictly the larger one, else 0.
    """

    policy: Float[Tensor, "N"]
    value: Float[Tensor, "N"]
    ratio: Float[Tensor, "N"]
    approx_kl: Float[Tensor, "N"]
    policy_clipped: Float[Tensor, "N"]
    value_clipped: Float[Tensor, "N"]


def ppo_terms(
    logprob: Float[Tensor, "N"],
    value: Float[Tensor, "N"],
    old_logprob: Float[Tensor, "N"],
    old_value: Float[Tensor, "N"],
    advantage: Float[Tensor, "N"],
    target: Float[Tensor, "N"],
    clip: float,
    value_clip: float | None,
    value_scale: float = 1.0,
) -> PPOTerms:
    """Return the terms of the clipped objective (Schulman et al. 2017, arXiv:1707.06347, eq. 7, 9).

    Args:
        logprob: log-probabilities of the actions under the trained policy `[N]`, in nats.
        value: values from the critic `[N]`, in reward units.
        old_logprob, old_value: log-probabilities and values before the round `[N]`, without
            gradient.
        advantage, target: advantages and value targets of generalised advantage estimation `[N]`.
        clip: largest distance of the ratio from 1.
        value_clip: largest change of a value, in reward units; None does not clip.
        value_scale: unit of the value errors, in reward units.
    """
    log_ratio = (logprob - old_logprob).clamp(-LOG_RATIO, LOG_RATIO)
    ratio = log_ratio.exp()
    plain = -advantage * ratio
    clipped = -advantage * ratio.clamp(1.0 - clip, 1.0 + clip)
    error = ((value - target) / value_scale).square()
    if value_clip is None:
        worst, value_clipped = error, error.new_zeros(error.shape)
    else:
        near = old_value + (value - old_value).clamp(-value_clip, value_clip)
        near_error = ((near - target) / value_scale).square()
        worst = error.maximum(near_error)
        value_clipped = (near_error > error).to(error.dtype)
    return PPOTerms(
        policy=plain.maximum(clipped),
        value=0.5 * worst,
        ratio=ratio.detach(),
        approx_kl=(ratio - 1.0 - log_ratio).detach(),
        policy_clipped=(clipped > plain).to(plain.dtype),
        value_clipped=value_clipped,
    )


_CRITIC = Used("algorithm.has_critic", "with a critic")
_NO_BINS = Used("not algorithm.value_bins")


@dataclass(frozen=True)
class PPO(Algorithm):
    """PPO with a KL penalty towards the start policy inside the reward.

    Attributes:
        gamma: discount factor.
        lam: λ of generalised advantage estimation.
        credit: whether γ and λ act at each action token or at each turn border.
        clip: largest distance of the probability ratio from 1.
        value_clip: largest change of a value in a round, in reward units; None (default) does not
            clip.
        value_coef: weight of the value loss.
        value_scale: unit of the critic's predictions, in reward units; best near the spread of
            returns.
        value_start: value of every state before training, in reward units.
        value_bins: number of bins of a critic that predicts a distribution and learns by
            cross-entropy (`learners.networks.hl_gauss`); values are not clipped then. 0 is a critic
            that predicts a number.
        value_bounds: lowest and highest return of an episode, in reward units; the bins cover this
            range.
        critic: kind of the critic: `head` shares the policy's trunk, `trunk` has a trunk of its
            own, `none` leaves the critic out.
        kl_coef: weight of log π − log π_start in the reward, per action token.
        kl_target: value of `kl_to_start` towards which the coefficient adapts, in nats per token;
            `kl_coef` has to begin above 0 then. None keeps the coefficient fixed.
        kl_horizon: time scale of that adaptation, in episodes.
        whiten: whether advantages of the round are whitened.
        epochs: number of passes over each round.
        minibatch: number of segments per optimiser step, all ranks together; 0 is the whole round.
        kl_stop: approximate KL of a minibatch above which the rest of the round is skipped, in
            nats; None never skips.
        bc_coef: weight of a behaviour-cloning term on the data set of `data.path`. Each optimiser
            step draws `data.batch` new episodes of it.
    """

    gamma: Annotated[float, SHARE] = 0.99
    lam: Annotated[float, SHARE] = 0.95
    credit: Credit = "turn"
    clip: Annotated[float, POSITIVE] = 0.2
    value_clip: Annotated[float | None, POSITIVE, _CRITIC, _NO_BINS] = None
    value_coef: Annotated[float, NOT_NEGATIVE, _CRITIC] = 0.25
    value_scale: Annotated[float, POSITIVE, _CRITIC, _NO_BINS] = 1.0
    value_start: Annotated[float, _CRITIC] = 0.0
    value_bins: Annotated[int, NOT_NEGATIVE, _CRITIC] = 0
    value_bounds: Annotated[tuple[float, float] | None, BOUNDS, Used("algorithm.value_bins")] = None
    critic: CriticKind = "head"
    kl_coef: Annotated[float, NOT_NEGATIVE] = 0.01
    kl_target: Annotated[float | None, POSITIVE] = None
    kl_horizon: Annotated[float, POSITIVE, Used("algorithm.kl_target")] = 10_000.0
    whiten: bool = True
    epochs: Annotated[int, COUNT] = 4
    minibatch: Annotated[int, NOT_NEGATIVE] = 256
    kl_stop: Annotated[float | None, POSITIVE] = 0.03
    bc_coef: Annotated[float, NOT_NEGATIVE] = 0.0

    name: ClassVar[str] = "ppo"
    on_policy: ClassVar[bool] = True

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return PPO with a critic whose range is the task's."""
        scale = facts.spread(cls.gamma) / 10.0
        return cls(
            value_start=facts.data, value_scale=scale, kl_coef=0.05, critic="trunk", minibatch=64
        )

    @property
    def has_critic(self) -> bool:
        """Whether values are learned."""
        return self.critic != "none"

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            UsageError: for a KL target without a coefficient to adapt, or bins without bounds.
        """
        check_bins(self.value_bins, self.value_bounds)
        if self.kl_target is not None and not self.kl_coef > 0:
            raise UsageError(
                f"algorithm.kl_target {self.kl_target:g} multiplies algorithm.kl_coef by factors, "
                f"and that is {self.kl_coef:g}; give algorithm.kl_coef a value above 0"
            )

    def evaluates(self, state: Mapping[str, float]) -> bool:
        """Return True: `prepare` needs old log-probabilities and values."""
        return True

    @property
    def reference(self) -> bool:
        """Whether a frozen start policy is needed."""
        return self.kl_coef > 0

    def network(self, load: Callable[[], CausalLM]) -> Network:
        """Return policy and critic."""
        from learners.networks.actor_critic import actor_critic

        return actor_critic(
            load,
            self.critic,
            self.value_start,
            self.value_scale,
            self.value_bins,
            self.value_bounds,
        )

    def start_state(self) -> dict[str, float]:
        """Return the KL coefficient of the first round."""
        return {"kl_coef": self.kl_coef}

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return old log-probabilities and values, advantages and value targets `[N]` of a round.

        The reward of an action token is r − kl_coef (log π − log π_start).

        The metric `kl_to_start` is the mean of ρ − 1 − log ρ with ρ = π_start / π over tokens of π.
        This is an unbiased estimate of KL(π ‖ π_start) (Schulman 2020, "Approximating KL
        divergence", k3). `kl_to_start_published` uses the inverse ratio, as the benchmark's code
        does. It estimates χ²(π ‖ π_start) − KL(π ‖ π_start) and controls nothing here.
        """
        count = batch.actions
        log_ratio = old.logprob - old.reference if self.reference else np.zeros(count)
        reward = batch.reward - state["kl_coef"] * log_ratio
        advantage, target = gae(
            old.value,
            reward,
            batch.next,
            per_step(self.gamma, batch.turn_end, self.credit),
            per_step(self.lam, batch.turn_end, self.credit),
        )
        value = old.value[:count]
        error = target - value
        bounded = np.clip(log_ratio, -LOG_RATIO, LOG_RATIO).astype(np.float64)
        sampled = batch.version >= 0
        gap = np.abs(old.logprob - batch.logprob)[sampled]
        n, adv, adv2, kl, published, *rest, clipped = group.total(
            count,
            advantage.sum(),
            np.square(advantage).sum(),
            (np.expm1(-bounded) + bounded).sum(),
            (np.expm1(bounded) - bounded).sum(),
            error.sum(),
            np.square(error).sum(),
            target.sum(),
            np.square(target).sum(),
            gap.sum(),
            sampled.sum(),
            value.sum(),
            batch.episodes,
            clipped_targets(target, self.value_bounds) if self.value_bins else 0,
        )
        err, err2, tgt, tgt2, mismatch, sampled_n, val, episodes = rest
        n = max(n, 1.0)
        # If all advantages are equal, rounding may leave a variance below 0.
        mean, var = adv / n, max(adv2 / n - (adv / n) ** 2, 0.0)
        spread = tgt2 / n - (tgt / n) ** 2
        metrics = {
            "kl_to_start": kl / n,
            "kl_to_start_published": published / n,
            "kl_coef": state["kl_coef"],
            "advantage_std": var**0.5,
            "value_mean": val / n,
            "target_mean": tgt / n,
            "explained_variance": 1.0 - (err2 / n - (err / n) ** 2) / max(spread, 1e-8),
            "sampler_gap": mismatch / max(sampled_n, 1.0),
        }
        if self.value_bins:
            metrics["value_targets_clipped"] = clipped / n
        if self.whiten and count:
            advantage = whiten(advantage, mean, var)
        coefficient = state["kl_coef"]
        if self.kl_target is not None:
            coefficient = adapted_kl(coefficient, kl / n, self.kl_target, self.kl_horizon, episodes)
        columns = {
            "old_logprob": old.logprob,
            "old_value": value,
            "advantage": advantage,
            "target": target,
        }
        return columns, metrics, {"kl_coef": coefficient}

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return policy loss + value_coef × value loss of a micro-batch."""
        terms = ppo_terms(
            out.logprob,
            out.value,
            targets["old_logprob"],
            targets["old_value"],
            targets["advantage"],
            targets["target"],
            self.clip,
            self.value_clip,
            self.value_scale,
        )
        policy, value = terms.policy.sum(), terms.value.sum()
        if out.bins is not None:
            assert self.value_bounds is not None
            from learners.networks.hl_gauss import bin_edges, cross_entropy

            edges = bin_edges(*self.value_bounds, self.value_bins)
            value = cross_entropy(out.bins.float(), targets["target"], edges).sum()
        return LossOutput(
            (policy + self.value_coef * value) / normaliser,
            {
                "policy_loss": policy.detach(),
                "value_loss": value.detach(),
                "approx_kl": terms.approx_kl.sum(),
                "ratio": terms.ratio.sum(),
                "policy_clipfrac": terms.policy_clipped.sum(),
                "value_clipfrac": terms.value_clipped.sum(),
                "entropy": out.entropy.detach().sum(),
            },
        )

    def stop(self, metrics: Metrics) -> bool:
        """Return whether the approximate KL of the latest minibatch exceeds `kl_stop`."""
        return self.kl_stop is not None and metrics["approx_kl"] > self.kl_stop
