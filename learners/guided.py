"""Value-guided policies as checkpoint directories, and their logits in plain PyTorch.

A policy of this kind samples from softmax(log π_start + β min Q): the frozen start policy, and the
action values of another network. Its directory holds both under one config whose architecture is
ours (`actors.value_guided` serves it in vLLM):

    policy.*   the start policy under its Hugging Face names
    critic.*   the trunk of the value network, likewise
    q1.*, q2.* the Q heads (`learners.values.Head`)

Q is what the heads say or, for Q-SFT, what follows from the probabilities that they give
(`Guide.reading`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from learners.algorithm import Algorithm, Guide
from learners.model import CausalLM, Inputs
from learners.values import ValueNetwork

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


def start_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a plain checkpoint, tied ones under each of their names."""
    from learners.model import load_causal_lm

    model = load_causal_lm(checkpoint).model
    return {n: p.detach() for n, p in model.named_parameters(remove_duplicate=False)}


def write_guided(folder: Path, start: Path, guide: Guide, weights: Mapping[str, Tensor]) -> None:
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
    config["lmrl_guide"] = asdict(guide)
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
    """Write the value-guided policy that a run starts with: every value the same, so that it
    samples as the start policy does.

    Args:
        algorithm: one with a guide.
        start: checkpoint directory of the start policy.
        folder: appears only when complete.
    """
    from learners.model import load_causal_lm

    assert algorithm.guide is not None
    network: Any = algorithm.network(lambda: load_causal_lm(start))
    temporary = folder.with_name(f".{folder.name}.tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    write_guided(temporary, start, algorithm.guide, dict(network.exported()))
    temporary.rename(folder)


def guide_of(folder: Path) -> Guide | None:
    """Return how a checkpoint directory's values are used; None for a plain policy."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return Guide(**config["lmrl_guide"]) if "lmrl_guide" in config else None


def guided_logits(start: CausalLM, network: ValueNetwork, guide: Guide, inputs: Inputs) -> Tensor:
    """Return the logits of the sampled policy at the needed states `[S, V]`, in float32."""
    hidden = start.trunk(inputs.tokens)[inputs.state_row, inputs.state_col]
    base = start.head(hidden).float()
    states = network.states(inputs.tokens, inputs)
    q = [head(states)[0].float() for head in network.q_heads]
    return combine(base, q, guide.beta, guide.top_p, guide.reading)


def ratios(logits: Tensor, base: Tensor, support: float = 0.0) -> Tensor:
    """Return p / π `[S, V]`, in float32 at least.

    Args:
        logits: of p `[S, V]`.
        base: logits of π `[S, V]`.
        support: tokens whose π is below this share of the greatest π get 0.
    """
    kind = torch.promote_types(base.dtype, torch.float32)
    logp = base.to(kind).log_softmax(-1)
    ratio = (logits.to(kind).log_softmax(-1) - logp).exp()
    if support <= 0.0:
        return ratio
    return ratio.masked_fill(logp < logp.amax(-1, keepdim=True) + math.log(support), 0.0)


def combine(
    base: Tensor,
    q: Sequence[Tensor],
    beta: float,
    top_p: float,
    reading: Literal["value", "probability", "ratio"] = "value",
) -> Tensor:
    """Return base + β min Q `[S, V]`; outside the base policy's nucleus it is −∞.

    (arXiv 2311.18232, appendix D: element-wise minimum over Q heads, no value subtracted.)

    Args:
        base: logits of the start policy `[S, V]`.
        q: `[S, V]` of each head, or `[heads, S, V]`.
        beta: weight of Q.
        top_p: mass of the nucleus; 1 keeps every token.
        reading: see `learners.algorithm.Guide`.
    """
    if reading == "probability":
        q = [logits.softmax(-1) for logits in q]
    elif reading == "ratio":
        q = [ratios(logits, base).clamp_(max=1.0) for logits in q]
    # Pass by pass over the vocabulary and without a stack: this runs for every sampled token.
    guided = torch.add(base, reduce(torch.minimum, q), alpha=beta)
    if top_p < 1.0:
        ordered, order = base.softmax(-1).sort(-1, descending=True)
        # A token stays if what comes before it has less than the mass: one always does.
        outside = ordered.cumsum(-1) - ordered >= top_p
        guided = guided.masked_fill(outside.scatter(-1, order, outside), float("-inf"))
    return guided
