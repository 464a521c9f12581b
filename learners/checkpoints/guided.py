"""Value-guided policies as checkpoint directories, and their logits in plain PyTorch.

A policy of this kind samples from softmax(log π_start + β min Q). It combines the frozen start
policy with the action values of another network. Its directory holds both under one config, whose
architecture is a class of this project (`actors.value_guided` serves it in vLLM):

    policy.*   the start policy under its Hugging Face names
    critic.*   the trunk of the value network under its Hugging Face names
    q1.*, q2.* the Q heads (`learners.networks.heads.Head`)

Q is the output of the heads. For Q-SFT it is computed from the probabilities that the heads give
(`ValueGuidance.q_from`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learners.algorithms.base import Algorithm, ValueGuidance
from lmrl.files import atomic_folder
from lmrl.tokens.tokenizer import name_portable_class

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "ValueGuidedForCausalLM"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    # Names the tokens that end a message of a chat, see `lmrl.tokens.codec`.
    "generation_config.json",
)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer of a checkpoint directory."""
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            (folder / name).write_bytes((source / name).read_bytes())
    name_portable_class(folder)


def start_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a plain checkpoint by name; tied weights have one name only."""
    from learners.networks.causal_lm import load_causal_lm

    model = load_causal_lm(checkpoint).model
    return {n: p.detach() for n, p in model.named_parameters()}


def write_guided(
    folder: Path, start: Path, guidance: ValueGuidance, weights: Mapping[str, Tensor]
) -> None:
    """Write a value-guided policy into an existing folder.

    Args:
        folder: folder of the checkpoint.
        start: checkpoint directory of the start policy.
        guidance: settings of the sampler's use of values.
        weights: weights of `critic.*` and the Q heads under the names of `ValueNetwork.exported`.
    """
    from safetensors.torch import save_file

    config = json.loads((start / "config.json").read_text())
    config["lmrl_base"] = config["architectures"]
    config["architectures"] = [ARCHITECTURE]
    config["lmrl_value_guidance"] = asdict(guidance)
    config["lmrl_head_shape"] = list(weights["q1.weight"].shape)
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
        algorithm: algorithm with `guidance`.
        start: checkpoint directory of the start policy.
        folder: folder to write, which appears only when complete.
    """
    from learners.networks.causal_lm import load_causal_lm

    assert algorithm.guidance is not None
    network: Any = algorithm.network(lambda: load_causal_lm(start))
    weights = {weight.name: weight.tensor() for weight in network.exported()}
    with atomic_folder(folder) as temporary:
        write_guided(temporary, start, algorithm.guidance, weights)


def read_guidance(folder: Path) -> ValueGuidance | None:
    """Return the guidance settings of a checkpoint directory; None for a plain policy."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return (
        ValueGuidance(**config["lmrl_value_guidance"]) if "lmrl_value_guidance" in config else None
    )
