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
from learners.networks.causal_lm import CausalLM
from learners.networks.outputs import Inputs
from learners.networks.values import TargetValues, ValueNetwork, ValueOutputs


class Target:
    """A slow copy of a value network: θ' ← α θ + (1 − α) θ' after every optimiser step, in float32
    whatever the network's type (small steps would be lost in bfloat16).

    Args:
        network: to copy; before DeepSpeed has it.
        target_config: α, and what else is copied and when.
        reference: the start policy, for a network whose target values ask for it.
    """

    def __init__(
        self, network: ValueNetwork, target_config: TargetConfig, reference: CausalLM | None = None
    ) -> None:
        self.reference = reference
        self.alpha, self.with_trunk = target_config.alpha, target_config.trunk
        self.hard_every, self.with_v = target_config.hard_every, target_config.v
        self.network = copy.deepcopy(network).float().requires_grad_(False)
        self.network.nll = False
        self.steps = 0

    @torch.no_grad()
    def values(self, inputs: Inputs, online: ValueNetwork) -> TargetValues:
        """Return target values at the entries."""
        states = (self.network if self.with_trunk else online).states(inputs.tokens, inputs)
        return self.network.target_values(inputs, states, self.reference)

    @torch.no_grad()
    def follow(self, online: nn.Module, gathered: Any = None) -> None:
        """Take a step towards the online network.

        Args:
            online: the trained network.
            gathered: makes a context in which a sharded parameter is whole (ZeRO 3); None is none.
        """
        self.steps += 1
        hard = bool(self.hard_every) and self.steps % self.hard_every == 0
        alpha = 1.0 if hard else self.alpha
        theirs = dict(online.named_parameters())
        for name, mine in self.network.named_parameters():
            with gathered([theirs[name]]) if gathered else nullcontext():
                mine.lerp_(theirs[name].detach().to(mine.dtype), alpha)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"weights": self.network.state_dict(), "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.network.load_state_dict(state["weights"])
        self.steps = state["steps"]


def target_of(
    network: nn.Module, target_config: TargetConfig | None, reference: CausalLM | None = None
) -> Target | None:
    """Return the target network of a network, if it has one; see `Target` for the arguments."""
    if target_config is None:
        return None
    assert isinstance(network, ValueNetwork)
    return Target(network, target_config, reference)


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
    """Return a pass's outputs at actions alone, and what the target network and following states
    say of them.

    Args:
        batch: that the pass is of.
        micro: the pass.
        inputs: the same as tensors.
        out: of the network, at all entries of the pass.
        old: values of the whole batch; if it holds none, every following state is in this pass.
        target: the slow copy.
        network: the trained network.

    Returns:
        Outputs at the actions `[E]`, and `v_next` `[E]`, `target_q` and `target_q_next`
        `[heads, E]`; of a terminated episode's last action the following values are 0.

    Raises:
        LookupError: if a following state is not in this pass, although it has to be.
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
    """Return where some of a batch's entries are among those of a pass; -1 stays -1."""
    places = np.searchsorted(micro.entry, entries)
    found = np.append(micro.entry, -1)[places]
    missing = entries[(entries >= 0) & (found != entries)]
    if len(missing):
        raise LookupError(
            f"{len(missing)} following states are not in the pass that needs them, the first is "
            f"entry {missing[0]}; all segments of the batch have to be in one pass"
        )
    return np.where(entries < 0, -1, places)
