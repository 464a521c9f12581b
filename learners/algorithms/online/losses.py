"""Terms of the losses of policy and critic, and weights of tokens, as pure functions.

`learners.batch` has the shape legend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

if TYPE_CHECKING:
    from torch import Tensor

    from learners.batch import Index

LOG_RATIO = 20.0
"""Largest log of a probability ratio of which the exponential is taken. The ratio of 5e8 is far
outside every clip, and its sums stay finite in float32."""

Unit = Literal["token", "turn", "episode"]
"""What a mean is taken over."""

KLEstimator = Literal["k1", "k2", "k3"]
"""Estimates of a KL divergence from samples, see `kl_estimate`."""


class PolicyTerms(NamedTuple):
    """Per-token terms of the clipped policy loss, `[N]` each.

    Attributes:
        policy: policy loss max(−A ρ, −A clip(ρ)).
        ratio: probability ratio ρ of the token or of its turn.
        approx_kl: estimate ρ − 1 − log ρ of KL(π_old ‖ π) from the token's own ratio, in nats.
        clipped: 1 where the clipped term is strictly the larger one, else 0.
    """

    policy: Float[Tensor, "N"]
    ratio: Float[Tensor, "N"]
    approx_kl: Float[Tensor, "N"]
    clipped: Float[Tensor, "N"]


def policy_terms(
    logprob: Float[Tensor, "N"],
    old_logprob: Float[Tensor, "N"],
    advantage: Float[Tensor, "N"],
    low: float,
    high: float,
    turn_end: Float[Tensor, "N"] | None = None,
) -> PolicyTerms:
    """Return the terms of the clipped objective (Schulman et al. 2017, arXiv:1707.06347, eq. 7).

    Different bounds are "clip-higher" (Yu et al. 2025, arXiv:2503.14476, eq. 10): tokens with a low
    probability may then grow further than others may shrink.

    Args:
        logprob: log-probabilities of the actions under the trained policy `[N]`, in nats.
        old_logprob: log-probabilities before the round `[N]`, without gradient.
        advantage: advantages `[N]`.
        low, high: largest distance of the ratio from 1, below it and above it.
        turn_end: 1 at the last token of a turn, else 0 `[N]`; the tokens of a turn are adjacent.
            Each token then has the ratio of its turn, the geometric mean of the ratios of the
            turn's tokens (Zheng et al. 2025, arXiv:2507.18071, eq. 7). With None each token has its
            own.
    """
    log_ratio = (logprob - old_logprob).clamp(-LOG_RATIO, LOG_RATIO)
    token_ratio = log_ratio.exp()
    ratio = token_ratio if turn_end is None else turn_means(log_ratio, turn_end).exp()
    plain = -advantage * ratio
    clipped = -advantage * ratio.clamp(1.0 - low, 1.0 + high)
    return PolicyTerms(
        policy=plain.maximum(clipped),
        ratio=ratio.detach(),
        approx_kl=(token_ratio - 1.0 - log_ratio).detach(),
        clipped=(clipped > plain).to(plain.dtype),
    )


class ValueTerms(NamedTuple):
    """Per-token terms of the critic's loss, `[N]` each.

    Attributes:
        value: half the squared error of the value; the larger one of clipped and unclipped.
        clipped: 1 where the clipped term is strictly the larger one, else 0.
    """

    value: Float[Tensor, "N"]
    clipped: Float[Tensor, "N"]


def value_terms(
    value: Float[Tensor, "N"],
    old_value: Float[Tensor, "N"],
    target: Float[Tensor, "N"],
    clip: float | None,
    scale: float = 1.0,
) -> ValueTerms:
    """Return the terms of the critic's loss (Schulman et al. 2017, arXiv:1707.06347, eq. 9).

    Args:
        value: values from the critic `[N]`, in reward units.
        old_value: values before the round `[N]`, without gradient.
        target: targets of the values `[N]`, without gradient.
        clip: largest change of a value, in reward units; None does not clip.
        scale: unit of the errors, in reward units.
    """
    error = ((value - target) / scale).square()
    if clip is None:
        return ValueTerms(0.5 * error, error.new_zeros(error.shape))
    near = old_value + (value - old_value).clamp(-clip, clip)
    near_error = ((near - target) / scale).square()
    return ValueTerms(0.5 * error.maximum(near_error), (near_error > error).to(error.dtype))


def turn_means(values: Float[Tensor, "N"], turn_end: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Return for each token the mean over the tokens of its turn `[N]`.

    Args:
        values: numbers to average `[N]`.
        turn_end: 1 at the last token of a turn, else 0 `[N]`; the tokens of a turn are adjacent,
            and every turn is complete.
    """
    ends = turn_end.long()
    turn = ends.cumsum(0) - ends
    turns = int(ends.sum())
    total = values.new_zeros(turns).index_add(0, turn, values)
    count = values.new_zeros(turns).index_add(0, turn, values.new_ones(values.shape))
    means: Tensor = (total / count)[turn]
    return means


def kl_estimate(log_ratio: Any, kind: KLEstimator) -> Any:
    """Return an estimate of KL(π ‖ π_start) for each token of a sample of π `[N]`, in nats.

    With d = log π − log π_start: k1 = d, k2 = d²/2, k3 = exp(−d) − 1 + d (Schulman 2020,
    "Approximating KL divergence"). k1 and k3 are unbiased, k3 is never negative, and k2 has a bias
    and a low variance. As terms of a loss, k2 has the gradient of the divergence, k3 approximates
    it, and the gradient of k1 has mean 0 over samples of π.

    Args:
        log_ratio: d, as an array or tensor `[N]`.
        kind: name of the estimate.
    """
    if kind == "k1":
        return log_ratio
    if kind == "k2":
        return 0.5 * log_ratio**2
    if isinstance(log_ratio, np.ndarray):
        bounded = np.clip(log_ratio, -LOG_RATIO, LOG_RATIO)
        return np.expm1(-bounded) + bounded
    bounded = log_ratio.clamp(-LOG_RATIO, LOG_RATIO)
    return (-bounded).expm1() + bounded


def importance_weights(
    old_logprob: Float[np.ndarray, "N"],
    sampler_logprob: Float[np.ndarray, "N"],
    sampled: Bool[np.ndarray, "N"],
    cap: float,
) -> Float[np.ndarray, "N"]:
    """Return truncated importance weights min(π_old / π_sampler, cap) `[N]`.

    They correct for a sampler whose probabilities differ from the learner's, because of another
    engine, precision or version (Espeholt et al. 2018, arXiv:1802.01561, section 4.1, ρ̄; for
    language models Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy
    RL training").

    Args:
        old_logprob: log-probabilities in the learner before the round `[N]`, in nats.
        sampler_logprob: log-probabilities in the sampler `[N]`, in nats.
        sampled: whether a model sampled the token `[N]`; the weight of any other token is 1.
        cap: largest weight.
    """
    gap = np.clip(old_logprob - sampler_logprob, -LOG_RATIO, LOG_RATIO)
    return np.where(sampled, np.minimum(np.exp(gap), cap), 1.0)


def unit_sizes(
    keep: Bool[np.ndarray, "N"], unit: Index, units: int
) -> tuple[Float[np.ndarray, "N"], int]:
    """Return for each token the number of kept tokens of its unit `[N]`, and the number of units
    with a kept token.

    Args:
        keep: whether each token is used `[N]`.
        unit: unit of each token, for example its episode `[N]`.
        units: number of units.
    """
    sizes = np.bincount(unit[keep], minlength=units)
    return np.maximum(sizes[unit], 1).astype(np.float64), int((sizes > 0).sum())
