"""What the learner knows about an episode, token by token: for reports, not for learning."""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from learners.batch import Batch
from learners.engine import DeepSpeedEngine
from learners.micro_batch import MicroBatch
from learners.networks.actor_critic import Network
from learners.networks.outputs import Inputs
from learners.networks.values import ValueNetwork

Quantities = dict[str, NDArray[np.float32]]
"""Quantities by name, each with one value for every action token `[N]`."""


@torch.no_grad()
def network_quantities(
    engine: DeepSpeedEngine, batch: Batch, passes: list[MicroBatch], device: torch.device
) -> Quantities:
    """Return what a network says about the action tokens of a batch.

    Args:
        engine: engine of a policy, with or without a critic, or of a value network.
        batch: episodes.
        passes: micro-batches with every entry of the batch.
        device: device of the network.

    Returns:
        `log_prob` and `entropy` in nats and, with a critic, `value` in reward units; of a value
        network or a critic of utterances `value`, if it has a V head, and `q`, the smallest of the
        heads.
    """
    network = engine.network
    found: Quantities = {}
    for micro in passes:
        inputs = Inputs.of(micro, device)
        out = engine.forward(inputs)
        if isinstance(network, ValueNetwork):
            named = {"value": out.v} if network.v_head is not None else {}
            named["q"] = out.q.min(0).values
        else:
            assert isinstance(network, Network)
            named = {"log_prob": out.logprob, "entropy": out.entropy}
            if network.value_head is not None:
                named["value"] = out.value
            elif network.utterances is not None:
                named |= {"value": out.value, "q": out.q.min(0).values}
        for name, column in named.items():
            whole = found.setdefault(name, np.zeros(batch.entries, np.float32))
            whole[micro.entry] = column.float().cpu().numpy()
    return {name: column[: batch.actions] for name, column in found.items()}


def to_rows(batch: Batch, quantities: Quantities) -> pa.Table:
    """Return quantities as a table with one row for each episode and one list column for each.

    Args:
        batch: episodes.
        quantities: quantities of the action tokens.
    """
    offsets = np.searchsorted(batch.episode, np.arange(batch.episodes + 1)).astype(np.int32)
    columns = {
        name: pa.ListArray.from_arrays(pa.array(offsets), pa.array(column.astype(np.float32)))
        for name, column in quantities.items()
    }
    return pa.table(columns)
