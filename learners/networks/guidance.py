"""Logits of value-guided policies in plain PyTorch: softmax(log π_start + β min Q)."""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from learners.algorithms.base import ValueGuidance
from learners.networks.causal_lm import CausalLM
from learners.networks.outputs import Inputs
from learners.networks.values import ValueNetwork


def sampled_policy_logits(
    start: CausalLM, network: ValueNetwork, guidance: ValueGuidance, inputs: Inputs
) -> Tensor:
    """Return the logits of the sampled policy at the needed states `[S, V]`, in float32."""
    hidden = start.trunk(inputs.tokens)[inputs.state_row, inputs.state_position]
    base = start.head(hidden).float()
    states = network.states(inputs.tokens, inputs)
    return guided_logits(base, [head(states)[0].float() for head in network.q_heads], guidance)


def likelihoods(
    outputs: Float[Tensor, "*S outputs"],
) -> tuple[Float[Tensor, "*S outputs-1"], Float[Tensor, "*S"]]:
    """Return log p of every token `[S, V]` and of the rest symbol `[S]`, in float32 at least.

    The last output is the logit of the rest symbol against all tokens together; the others share
    out what it leaves. So p sums to 1 over V + 1 symbols, and outputs of the start policy with a
    very low last one give the start policy.

    Args:
        outputs: of a head `[S, V + 1]`.
    """
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    logits, rest = outputs[..., :-1], outputs[..., -1]
    tokens = logits.log_softmax(-1) + logsigmoid(-rest)[..., None]
    return tokens, logsigmoid(rest)


def ratios(
    logp: Float[Tensor, "*S V"], base: Float[Tensor, "*S V"], support: float = 0.0
) -> Float[Tensor, "*S V"]:
    """Return p / π `[S, V]`, in float32 at least.

    Args:
        logp: log p of every token `[S, V]`.
        base: logits of π `[S, V]`.
        support: least probability of a token under π, as a share of the most probable token's;
            tokens below it get 0.
    """
    start = base.to(torch.promote_types(base.dtype, torch.float32)).log_softmax(-1)
    return _supported((logp - start).exp(), start, support)


def _supported(values: Tensor, start: Tensor, support: float) -> Tensor:
    if support <= 0.0:
        return values
    return values.masked_fill(start < start.amax(-1, keepdim=True) + math.log(support), 0.0)


def action_values(
    base: Float[Tensor, "*S V"], q: Sequence[Float[Tensor, "*S outputs"]], guidance: ValueGuidance
) -> Float[Tensor, "*S V"]:
    """Return the action value of every token `[S, V]`: the smallest one of the heads.

    Args:
        base: logits of the start policy `[S, V]`.
        q: outputs of each head, `[S, V]`, or `[S, V + 1]` for a probability or ratio.
        guidance: what the outputs mean.
    """
    if guidance.q_from == "ratio":
        q = [
            ratios(likelihoods(outputs)[0], base, guidance.support).clamp_(max=1.0) for outputs in q
        ]
    elif guidance.q_from == "probability":
        start = base.log_softmax(-1)
        q = [_supported(likelihoods(outputs)[0].exp(), start, guidance.support) for outputs in q]
    # Pass by pass over the vocabulary and without a stack: this runs for every sampled token.
    return reduce(torch.minimum, q)


def guided_logits(
    base: Float[Tensor, "*S V"], q: Sequence[Float[Tensor, "*S outputs"]], guidance: ValueGuidance
) -> Float[Tensor, "*S V"]:
    """Return base + β min Q `[S, V]`; outside the base policy's nucleus it is −∞.

    (arXiv 2311.18232, appendix D: element-wise minimum over Q heads, no value subtracted.)

    Args:
        base: logits of the start policy `[S, V]`.
        q: outputs of each head, as `action_values` takes them.
        guidance: β, the nucleus, and what the outputs mean.
    """
    guided = torch.add(base, action_values(base, q, guidance), alpha=guidance.beta)
    if guidance.top_p < 1.0:
        ordered, order = base.softmax(-1).sort(-1, descending=True)
        # A token stays if what comes before it has less than the mass: one always does.
        outside = ordered.cumsum(-1) - ordered >= guidance.top_p
        guided = guided.masked_fill(outside.scatter(-1, order, outside), float("-inf"))
    return guided
