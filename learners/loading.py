"""The language models of a learner: trained copies of the start policy, and its reference."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from learners.algorithms.base import Algorithm
from learners.config import LearnerConfig
from learners.engine import HEADS
from learners.networks.actor_critic import Network
from learners.networks.causal_lm import CausalLM, load_causal_lm
from learners.networks.lora import WithoutAdapters
from learners.networks.outputs import LanguageModel
from learners.networks.values import ValueNetwork


def loader(checkpoint: str, config: LearnerConfig, device: str) -> Callable[[], CausalLM]:
    """Return a function that returns a new copy of the start policy, to be trained.

    With adapters, all copies share the frozen weights, except where DeepSpeed shards them.

    Args:
        checkpoint: checkpoint directory of the start policy.
        config: settings of the learner group.
        device: `cpu` or `cuda`.
    """
    compute = getattr(torch, config.optimiser.dtype)
    weights = compute if config.lora.rank else torch.float32
    loaded: list[CausalLM] = []

    def load() -> CausalLM:
        if loaded and config.lora.rank and not config.optimiser.sharded:
            shared: dict[int, Any] = {id(p): p for p in frozen(loaded[0])}
            return copy.deepcopy(loaded[0], shared)
        model = load_causal_lm(checkpoint, compute, weights, config.lora)
        if config.recompute:
            model.recompute_activations()
        reduce_tokens(model, config, device)
        loaded.append(model)
        return model

    return load


def reduce_tokens(model: CausalLM, config: LearnerConfig, device: str) -> None:
    """Let a model compute as few tokens as it can.

    On a GPU in bfloat16, rows are packed; flash attention does not know float32. Elsewhere the
    common first tokens of rows are computed once, by a second call of the model. Under ZeRO 3 every
    rank has to call the model equally often, so that nothing may depend on the rows.

    Args:
        model: language model.
        config: settings of the learner group.
        device: `cpu` or `cuda`.
    """
    if config.packed and device == "cuda" and config.optimiser.dtype == "bfloat16":
        model.pack_rows()
    elif config.optimiser.zero != 3 and not config.recompute:
        model.share_prefix()


def trained_network(
    algorithm: Algorithm, load: Callable[[], CausalLM], config: LearnerConfig
) -> Any:
    """Return the network that an algorithm trains; its frozen weights have the type of products.

    Args:
        algorithm: algorithm with its hyper-parameters.
        load: function that returns a new copy of the start policy.
        config: settings of the learner group.
    """
    network = algorithm.network(load)
    if config.frozen_trunk:
        assert isinstance(network, Network | ValueNetwork)
        network.freeze_trunk()
    for name, parameter in network.named_parameters():
        # Value heads are in float32, frozen or not.
        if not parameter.requires_grad and HEADS.isdisjoint(name.split(".")):
            parameter.data = parameter.data.to(getattr(torch, config.optimiser.dtype))
    return network


def reference_policy(
    algorithm: Algorithm, network: nn.Module, checkpoint: str, config: LearnerConfig, device: str
) -> LanguageModel | None:
    """Return the frozen start policy; None if the algorithm needs none.

    With adapters it is the trained model without them, not a second copy.

    Args:
        algorithm: algorithm with its hyper-parameters.
        network: trained network, before DeepSpeed wraps it.
        checkpoint: checkpoint directory of the start policy.
        config: settings of the learner group.
        device: `cpu` or `cuda`.
    """
    if not algorithm.reference:
        return None
    # Target values are computed outside of DeepSpeed's engine, where sharded weights are not whole.
    shared = config.lora.rank and not (algorithm.guidance and config.optimiser.sharded)
    if shared:
        own = network.policy if isinstance(network, Network) else network.trunk
        assert isinstance(own, CausalLM)
        return WithoutAdapters(own)
    compute = getattr(torch, config.optimiser.dtype)
    model = load_causal_lm(checkpoint, compute, weights=compute)
    reduce_tokens(model, config, device)
    return model.requires_grad_(False)


def frozen(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not trained."""
    return [parameter for parameter in module.parameters() if not parameter.requires_grad]
