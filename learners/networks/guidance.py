"""Logits of value-guided policies in plain PyTorch: softmax(log π_start + β min Q)."""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from learners.algorithms.base import ValueGuidance
from learners.networks.outputs import Inputs, LanguageModel
from learners.networks.values import ValueNetwork


def sampled_policy_logits(
    start: LanguageModel, network: ValueNetwork, guidance: ValueGuidance, inputs: Inputs
) -> Tensor:
    """Return the logits of the sampled policy at the needed states `[S, V]`, in float32.

    Args:
        start: start policy.
        network: network with the Q heads.
        guidance: settings of the sampler's use of values.
        inputs: micro-batch.
    """
    hidden = start.trunk(inputs.tokens, inputs.lengths)[inputs.state_row, inputs.state_position]
    base = start.head(hidden).float()
    states = network.states(inputs)
    return guided_logits(base, [head(states)[0].float() for head in network.q_heads], guidance)


def likelihoods(
    outputs: Float[Tensor, "*S outputs"],
) -> tuple[Float[Tensor, "*S outputs-1"], Float[Tensor, "*S"]]:
    """Return log p of every token `[S, V]` and of the rest symbol `[S]`, in float32 at least.

    The last output is the logit of the rest symbol against all tokens together. A softmax of the
    other outputs divides the remaining mass among the tokens. So p sums to 1 over V + 1 symbols.
    With the start policy's logits and a very low last output, p is the start policy.

    Args:
        outputs: outputs of a Q head `[S, V + 1]`.
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
        support: smallest probability of a token under π, as a share of the most probable token's.
            Tokens below it get the ratio 0.
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
    """Return the action value of every token `[S, V]`: the minimum over the heads.

    Args:
        base: logits of the start policy `[S, V]`.
        q: outputs of each head, `[S, V]`, or `[S, V + 1]` for a probability or ratio.
        guidance: settings, of which `q_from` and `support` are used.
    """
    if guidance.q_from == "ratio":
        q = [
            ratios(likelihoods(outputs)[0], base, guidance.support).clamp_(max=1.0) for outputs in q
        ]
    elif guidance.q_from == "probability":
        start = base.log_softmax(-1)
        q = [_supported(likelihoods(outputs)[0].exp(), start, guidance.support) for outputs in q]
    # Head by head, without a stacked tensor: this runs for every sampled token.
    return reduce(torch.minimum, q)


def guided_logits(
    base: Float[Tensor, "*S V"], q: Sequence[Float[Tensor, "*S outputs"]], guidance: ValueGuidance
) -> Float[Tensor, "*S V"]:
    """Return base + β min Q `[S, V]`; outside the start policy's nucleus it is −∞.

    (arXiv 2311.18232, appendix D: element-wise minimum over Q heads, no value subtracted.)

    Args:
        base: logits of the start policy `[S, V]`.
        q: outputs of each head, `[S, V]`, or `[S, V + 1]` for a probability or ratio.
        guidance: settings: β, the nucleus, and the meaning of the outputs.
    """
    guided = torch.add(base, action_values(base, q, guidance), alpha=guidance.beta)
    if guidance.top_p < 1.0:
        ordered, order = base.softmax(-1).sort(-1, descending=True)
        # A token stays if the tokens before it have less than the mass, so the first always stays.
        outside = ordered.cumsum(-1) - ordered >= guidance.top_p
        guided = guided.masked_fill(outside.scatter(-1, order, outside), float("-inf"))
    return guided
