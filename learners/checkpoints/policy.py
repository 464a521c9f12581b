"""The policy of a learner as a checkpoint directory for transformers and vLLM."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from learners.algorithms.base import ValueGuidance
from learners.checkpoints.guided import copy_tokenizer, write_guided
from learners.checkpoints.portable import add_earlier_names
from learners.networks.actor_critic import Network
from learners.networks.causal_lm import CausalLM
from learners.networks.lora import write_adapter
from lmrl.runs.names import ADAPTER

Weights = dict[str, Tensor]


def write_policy(
    folder: Path,
    start: Path,
    network: Any,
    guidance: ValueGuidance | None,
    weights: Weights,
    adapters: Weights,
) -> None:
    """Write the sampled policy into an existing folder, with merged weights.

    Args:
        folder: folder of the checkpoint.
        start: checkpoint directory of the start policy.
        network: trained network.
        guidance: settings of the sampler's use of values; None is a plain policy.
        weights: weights under the sampler's names, in float32.
        adapters: adapters under peft's names, which a subfolder gets; empty without LoRA.
    """
    if guidance is not None:
        write_guided(folder, start, guidance, weights)
        return
    assert isinstance(network, Network)
    policy = network.policy
    assert isinstance(policy, CausalLM)
    policy.model.save_pretrained(str(folder), state_dict=weights)
    file = folder / "config.json"
    # The model may hold frozen weights in bfloat16; those that were written are in float32.
    config = json.loads(file.read_text()) | {"dtype": "float32"}
    file.write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)
    add_earlier_names(folder)
    copy_tokenizer(start, folder)
    if adapters:
        write_adapter(folder / ADAPTER, policy.model, adapters, str(start))
