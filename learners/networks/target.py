"""Target networks: slow copies of value networks, and the columns that bootstrap from them."""

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learners.algorithms.base import OldOutputs, TargetConfig
from learners.batch import Batch
from learners.micro_batch import MicroBatch
from learners.networks.actor_critic import Network
from learners.networks.outputs import Inputs, LanguageModel
from learners.networks.values import TargetValues, ValueNetwork, ValueOutputs


class Target:
    """A slow copy of a value network: θ' ← α θ + (1 − α) θ' after every optimiser step.

    Trained weights are in float32 whatever the type of matrix products, since bfloat16 would lose
    small steps. Frozen weights are the network's own, so they exist once.

    Args:
        network: network to copy, before DeepSpeed wraps it.
        target_config: step size α and the other settings of the copy.
        reference: start policy, for a network whose target values need it.
        sharded: whether DeepSpeed will shard the network's weights; frozen ones are copied then.
    """

    def __init__(
        self,
        network: ValueNetwork,
        target_config: TargetConfig,
        reference: LanguageModel | None = None,
        sharded: bool = False,
    ) -> None:
        self.reference = reference
        self.alpha, self.with_trunk = target_config.alpha, target_config.trunk
        self.hard_every, self.with_v = target_config.hard_every, target_config.v
        frozen = [] if sharded else [p for p in network.parameters() if not p.requires_grad]
        shared: dict[int, Any] = {id(parameter): parameter for parameter in frozen}
        ids = set(shared)  # the copy adds entries
        self.network = copy.deepcopy(network, shared).requires_grad_(False)
        self.network.nll = False
        self.own = [n for n, p in self.network.named_parameters() if id(p) not in ids]
        self.steps = 0

    @torch.no_grad()
    def values(self, inputs: Inputs, online: ValueNetwork) -> TargetValues:
        """Return target values at the entries.

        Args:
            inputs: micro-batch.
            online: trained network, whose trunk is used if the target has none of its own.
        """
        states = (self.network if self.with_trunk else online).states(inputs)
        return self.network.target_values(inputs, states, self.reference)

    @torch.no_grad()
    def follow(self, online: nn.Module, gathered: Any = None) -> None:
        """Take a step towards the trained network.

        Args:
            online: trained network.
            gathered: function that returns a context manager in which sharded parameters are whole
                (ZeRO 3); None if parameters are not sharded.
        """
        self.steps += 1
        hard = bool(self.hard_every) and self.steps % self.hard_every == 0
        alpha = 1.0 if hard else self.alpha
        theirs = dict(online.named_parameters())
        for name, mine in self.network.named_parameters():
            if not theirs[name].requires_grad:
                continue
            with gathered([theirs[name]]) if gathered else nullcontext():
                mine.lerp_(theirs[name].detach().to(mine.dtype), alpha)

    def state(self) -> dict[str, Any]:
        """Return weights and number of steps, for a checkpoint."""
        parameters = dict(self.network.named_parameters())
        return {"weights": {n: parameters[n].detach() for n in self.own}, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.network.load_state_dict(state["weights"], strict=False)
        self.steps = state["steps"]


def target_of(
    network: nn.Module,
    target_config: TargetConfig | None,
    reference: LanguageModel | None = None,
    sharded: bool = False,
) -> Target | None:
    """Return the target network of a network; None without `target_config`.

    Args:
        network: network to copy, before DeepSpeed wraps it.
        target_config: settings of the copy; None is no target network.
        reference: start policy, for a network whose target values need it.
        sharded: whether DeepSpeed will shard the network's weights.
    """
    if target_config is None:
        return None
    return Target(value_part(network), target_config, reference, sharded)


def value_part(network: nn.Module) -> ValueNetwork:
    """Return the part of a network that has action values: all of it, or a policy's critic."""
    part = network.utterances if isinstance(network, Network) else network
    assert isinstance(part, ValueNetwork)
    return part


@torch.no_grad()
def bootstrap_columns(
    batch: Batch,
    micro: MicroBatch,
    inputs: Inputs,
    out: ValueOutputs,
    old: OldOutputs,
    target: Target,
    network: ValueNetwork,
) -> tuple[ValueOutputs, dict[str, Tensor]]:
    """Return a pass's outputs at its actions, and the columns that bootstrapping needs there.

    Args:
        batch: batch of which the pass is a part.
        micro: forward pass as arrays.
        inputs: the same pass as tensors.
        out: outputs of the network at all entries of the pass.
        old: values of the whole batch. If it has no target values, every following state has to be
            in this pass.
        target: target network.
        network: trained network.

    Returns:
        Outputs at the actions `[E]`, and the columns `v_next` `[E]`, `target_q` and `target_q_next`
        `[heads, E]`, in reward units. After the last action of a terminated episode the values are
        0.

    Raises:
        LookupError: if `old` has no target values and a following state is not in this pass.
    """
    device = out.v.device
    acts = micro.entry[micro.entry < batch.actions]
    follow = batch.next[acts]
    if len(old.target_q):
        value = torch.as_tensor(old.value, dtype=torch.float32, device=device)
        target_q = torch.as_tensor(old.target_q, dtype=torch.float32, device=device)
        here, there = acts, follow
    else:
        slow = target.values(inputs, network)
        value, target_q = slow.v if target.with_v else out.v.detach(), slow.q
        here, there = (_places(micro, entries) for entries in (acts, follow))
    # A last column of zeros for -1: the value after a terminal state.
    value = torch.cat([value, value.new_zeros(1)])
    target_q = torch.cat([target_q, target_q.new_zeros(len(target_q), 1)], 1)
    at, after = (torch.as_tensor(index, device=device) for index in (here, there))
    columns = {
        "v_next": value[after],
        "target_q": target_q[:, at],
        "target_q_next": target_q[:, after],
    }
    with torch.enable_grad():
        count = len(acts)  # entries are in order, so actions come before bootstrap entries
        bins = None if out.bins is None else out.bins[:count]
        return ValueOutputs(out.q[:, :count], out.nll, out.v[:count], bins), columns


def _places(micro: MicroBatch, entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions, within a pass, of some entries of its batch; -1 stays -1."""
    places = np.searchsorted(micro.entry, entries)
    found = np.append(micro.entry, -1)[places]
    missing = entries[(entries >= 0) & (found != entries)]
    if len(missing):
        raise LookupError(
            f"{len(missing)} following states are not in the pass that needs them, the first is "
            f"entry {missing[0]}; all segments of the batch have to be in one pass"
        )
    return np.where(entries < 0, -1, places)
