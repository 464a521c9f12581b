"""Network outputs for a batch before the first optimiser step on it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from learners.algorithms.base import OldOutputs
from learners.batch import Batch
from learners.engine import DeepSpeedEngine
from learners.micro_batch import MicroBatch
from learners.networks.actor_critic import Network
from learners.networks.lora import adapters_off
from learners.networks.outputs import Inputs, LanguageModel
from learners.networks.target import Target, value_part
from learners.networks.values import ValueNetwork


@torch.no_grad()
def policy_outputs(
    engine: DeepSpeedEngine,
    target: Target | None,
    reference: LanguageModel | None,
    batch: Batch,
    passes: Sequence[MicroBatch],
) -> OldOutputs:
    """Return log-probabilities and values of a policy and its critic.

    Args:
        engine: engine of the trained network.
        target: target of a critic of utterances; None without one.
        reference: frozen start policy; None if it is not kept.
        batch: episodes of this rank.
        passes: micro-batches with every entry of the batch.
    """
    logprob = np.zeros(batch.entries, np.float32)
    value = np.zeros(batch.entries, np.float32)
    found = np.zeros(batch.entries, np.float32)
    heads = 0 if target is None else len(target.network.q_heads)
    target_q = np.zeros((heads, batch.entries), np.float32)
    for micro in passes:
        inputs = Inputs.of(micro, engine.device)
        out = engine.forward(inputs)
        logprob[micro.entry] = out.logprob.cpu().numpy()
        value[micro.entry] = out.value.cpu().numpy()
        if target is not None:
            slow = target.values(inputs, value_part(engine.network))
            value[micro.entry] = slow.v.cpu().numpy()
            target_q[:, micro.entry] = slow.q.cpu().numpy()
        if reference is not None:
            found[micro.entry] = _reference_logprob(engine, reference, inputs).cpu().numpy()
    count = batch.actions
    return OldOutputs(logprob[:count], value, found[:count], target_q)


def _reference_logprob(engine: DeepSpeedEngine, reference: LanguageModel, inputs: Inputs) -> Tensor:
    """Return the reference policy's log-probabilities of the entries' tokens `[E]`, in nats."""
    if isinstance(reference, nn.Module):
        fixed: Tensor = Network(reference)(inputs).logprob
        return fixed
    # Through the engine, since its weights may be sharded.
    with adapters_off(engine.network):
        without: Tensor = engine.forward(inputs).logprob
        return without


@torch.no_grad()
def value_outputs(
    engine: DeepSpeedEngine, target: Target, batch: Batch, passes: Sequence[MicroBatch]
) -> OldOutputs:
    """Return values of states and target values of actions, at every entry.

    Args:
        engine: engine of a value network.
        target: its target network.
        batch: episodes of this rank.
        passes: micro-batches with every entry of the batch.
    """
    network = engine.network
    assert isinstance(network, ValueNetwork)
    zeros = np.zeros(batch.entries, np.float32)
    value = zeros.copy()
    target_q = np.zeros((len(network.q_heads), batch.entries), np.float32)
    for micro in passes:
        inputs = Inputs.of(micro, engine.device)
        slow = target.values(inputs, network)
        v = slow.v if target.with_v else engine.forward(inputs).v
        value[micro.entry] = v.float().cpu().numpy()
        target_q[:, micro.entry] = slow.q.cpu().numpy()
    return OldOutputs(zeros[: batch.actions], value, zeros[: batch.actions], target_q)
