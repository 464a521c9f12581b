"""Value-guided policies as checkpoint directories, and their logits in plain PyTorch.

A policy of this kind samples from softmax(log π_start + β min Q): the frozen start policy, and the
action values of another network. Its directory holds both under one config whose architecture is
ours (`actors.value_guided` serves it in vLLM):

    policy.*   the start policy under its Hugging Face names
    critic.*   the trunk of the value network, likewise
    q1.*, q2.* the Q heads (`learners.networks.values.Head`)

Q is what the heads say or, for Q-SFT, what follows from the probabilities that they give
(`ValueGuidance.q_from`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from learners.algorithms.base import Algorithm, ValueGuidance
from learners.networks.actor_critic import CausalLM, Inputs
from learners.networks.values import ValueNetwork
from lmrl.codec import name_portable_class

ARCHITECTURE = "ValueGuidedForCausalLM"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer of a checkpoint directory."""
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            (folder / name).write_bytes((source / name).read_bytes())
    name_portable_class(folder)


def start_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a plain checkpoint, tied ones once."""
    from learners.networks.actor_critic import load_causal_lm

    model = load_causal_lm(checkpoint).model
    return {n: p.detach() for n, p in model.named_parameters()}


def write_guided(
    folder: Path, start: Path, guidance: ValueGuidance, weights: Mapping[str, Tensor]
) -> None:
    """Write a value-guided policy into an existing folder.

    Args:
        folder: of the checkpoint.
        start: checkpoint directory of the start policy.
        guide: how its values are used.
        weights: `critic.*` and the Q heads, as `ValueNetwork.exported` names them.
    """
    from safetensors.torch import save_file

    config = json.loads((start / "config.json").read_text())
    config["lmrl_base"] = config["architectures"]
    config["architectures"] = [ARCHITECTURE]
    config["lmrl_value_guidance"] = asdict(guidance)
    whole = {f"policy.{name}": tensor for name, tensor in start_weights(start).items()}
    whole |= {name: tensor.detach().float() for name, tensor in weights.items()}
    save_file(
        {name: tensor.contiguous().cpu().clone() for name, tensor in whole.items()},
        str(folder / "model.safetensors"),
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    copy_tokenizer(start, folder)


def make_guided(algorithm: Algorithm, start: Path, folder: Path) -> None:
    """Write the value-guided policy that a run starts with, before any training of its values.

    Args:
        algorithm: one with a guide.
        start: checkpoint directory of the start policy.
        folder: appears only when complete.
    """
    from learners.networks.actor_critic import load_causal_lm

    assert algorithm.guidance is not None
    network: Any = algorithm.network(lambda: load_causal_lm(start))
    temporary = folder.with_name(f".{folder.name}.tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    write_guided(temporary, start, algorithm.guidance, dict(network.exported()))
    temporary.rename(folder)


def read_guidance(folder: Path) -> ValueGuidance | None:
    """Return how a checkpoint directory's values are used; None for a plain policy."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return (
        ValueGuidance(**config["lmrl_value_guidance"]) if "lmrl_value_guidance" in config else None
    )


def sampled_policy_logits(
    start: CausalLM, network: ValueNetwork, guidance: ValueGuidance, inputs: Inputs
) -> Tensor:
    """Return the logits of the sampled policy at the needed states `[S, V]`, in float32."""
    hidden = start.trunk(inputs.tokens)[inputs.state_row, inputs.state_position]
    base = start.head(hidden).float()
    states = network.states(inputs.tokens, inputs)
    return guided_logits(base, [head(states)[0].float() for head in network.q_heads], guidance)


def likelihoods(outputs: Tensor) -> tuple[Tensor, Tensor]:
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


def ratios(logp: Tensor, base: Tensor, support: float = 0.0) -> Tensor:
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


def action_values(base: Tensor, q: Sequence[Tensor], guidance: ValueGuidance) -> Tensor:
    """Return the action value of every token `[S, V]`: the smallest one of the heads.

    Args:
        base: logits of the start policy `[S, V]`.
        q: outputs of each head, `[S, V]`, or `[S, V + 1]` for a probability or ratio.
        guide: what the outputs mean.
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


def guided_logits(base: Tensor, q: Sequence[Tensor], guidance: ValueGuidance) -> Tensor:
    """Return base + β min Q `[S, V]`; outside the base policy's nucleus it is −∞.

    (arXiv 2311.18232, appendix D: element-wise minimum over Q heads, no value subtracted.)

    Args:
        base: logits of the start policy `[S, V]`.
        q: outputs of each head, as `action_values` takes them.
        guide: β, the nucleus, and what the outputs mean.
    """
    guided = torch.add(base, action_values(base, q, guidance), alpha=guidance.beta)
    if guidance.top_p < 1.0:
        ordered, order = base.softmax(-1).sort(-1, descending=True)
        # A token stays if what comes before it has less than the mass: one always does.
        outside = ordered.cumsum(-1) - ordered >= guidance.top_p
        guided = guided.masked_fill(outside.scatter(-1, order, outside), float("-inf"))
    return guided
