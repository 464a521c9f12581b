"""Networks that predict action values for every next token: a trunk with Q heads and a V head.

Q values of the whole vocabulary exist at action states only, a chunk of states at a time. If a loss
does not need the whole vocabulary, only the values of the actions are computed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from learners.config import HeadKind
from learners.networks.causal_lm import CausalLM
from learners.networks.heads import Head
from learners.networks.hl_gauss import BinnedValueHead
from learners.networks.lora import Weight, weights_of
from learners.networks.outputs import Inputs, LanguageModel


class TargetValues(NamedTuple):
    """Outputs of a target network.

    Attributes:
        q: values of the entries' tokens, one row per Q head `[heads, E]`, in reward units.
        v: values of the entries' states `[E]`, in reward units; zeros without a V head.
    """

    q: Tensor
    v: Tensor


class ValueOutputs(NamedTuple):
    """Outputs of a value network, from which losses are computed.

    Attributes:
        q: values of the entries' tokens, one row per Q head `[heads, E]`, in reward units; entries
            without an action have the value of token 0.
        nll: cross-entropy of the actions, with each Q head's values as logits, summed over the
            entries that are actions `[heads]`, in nats; zeros without gradient, or if the network
            was made without it.
        v: values of the entries' states `[E]`, in reward units; zeros without a V head.
        bins: logits of the bins of V `[E, K]`; None if the V head has no bins.
    """

    q: Tensor
    nll: Tensor
    v: Tensor
    bins: Tensor | None = None


class ValueNetwork(nn.Module):
    """A trunk with Q heads and an optional V head.

    Args:
        trunk: causal language model whose output embedding is not used.
        heads: number of Q heads.
        width: hidden width H.
        outputs: number of outputs of a Q head: the size of the vocabulary.
        start: every value before training, in reward units.
        kind: kind of the heads, `mlp` or `linear`.
        scale: unit of the heads' predictions, in reward units.
        with_v: whether there is a V head.
        nll: whether the loss needs cross-entropies of the Q values.
        chunk: number of states whose Q values exist at one time.
        bins: number of bins of a V head that predicts a distribution; 0 is a V head that predicts a
            number.
        bounds: lowest and highest value that the bins cover, in reward units; needed with bins.
    """

    def __init__(
        self,
        trunk: nn.Module,
        heads: int,
        width: int,
        outputs: int,
        start: float,
        kind: HeadKind,
        scale: float,
        with_v: bool,
        nll: bool,
        chunk: int = 256,
        bins: int = 0,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.q_heads: Any = nn.ModuleList(
            Head(width, outputs, start, kind, scale) for _ in range(heads)
        )
        self.v_head: Any = None
        if with_v and bins:
            assert bounds is not None
            self.v_head = BinnedValueHead(width, start, *bounds, bins)
        elif with_v:
            self.v_head = Head(width, 1, start, kind, scale)
        self.nll, self.chunk = nll, chunk

    def forward(self, inputs: Inputs) -> ValueOutputs:
        """Return values at the entries."""
        return self.values(self.states(inputs), inputs)

    def states(self, inputs: Inputs) -> Tensor:
        """Return the hidden states that are needed `[S, H]`."""
        hidden = cast(LanguageModel, self.trunk).trunk(inputs.tokens, inputs.lengths)
        return hidden[inputs.state_row, inputs.state_position]

    def values(self, states: Tensor, inputs: Inputs) -> ValueOutputs:
        """Return values at the entries, given hidden states `[S, H]`."""
        # Equal states and actions have equal values, so each pair is computed once.
        outputs = self.q_heads[0].outputs
        pairs = inputs.entry_state * outputs + inputs.entry_token
        distinct, where = torch.unique(pairs, return_inverse=True)
        at, token = distinct // outputs, distinct % outputs
        counts = None
        if self.nll and torch.is_grad_enabled():
            counts = torch.bincount(where, inputs.is_action.double(), len(distinct))
        q, nll = [], []
        for head in self.q_heads:
            taken, cost = head(states[at], token, counts, self.chunk)
            q.append(taken[where])
            nll.append(cost)
        bins = None
        if self.v_head is None:
            v = q[0].new_zeros(len(inputs.entry_state))
        elif isinstance(self.v_head, BinnedValueHead):
            logits = self.v_head(states)
            v, bins = self.v_head.value(logits)[inputs.entry_state], logits[inputs.entry_state]
        else:
            v = self.v_head(states)[0].squeeze(-1)[inputs.entry_state]
        return ValueOutputs(torch.stack(q), torch.stack(nll), v, bins)

    def target_values(
        self, inputs: Inputs, states: Tensor, reference: LanguageModel | None
    ) -> "TargetValues":
        """Return target values at the entries; the target network calls this on its slow copy.

        Args:
            inputs: micro-batch.
            states: hidden states `[S, H]`.
            reference: start policy; None if it is not kept.
        """
        out = self.values(states, inputs)
        return TargetValues(out.q, out.v)

    def freeze_trunk(self) -> None:
        """Train the heads only."""
        self.trunk.requires_grad_(False)

    def exported(self) -> Iterator[Weight]:
        """Yield the weights that a value-guided sampler needs, under its names for them.

        These are the trunk without an untied output embedding, and the Q heads.
        """
        assert isinstance(self.trunk, CausalLM)
        yield from trunk_weights(self.trunk)
        for number, head in enumerate(self.q_heads, 1):
            yield from head_weights(f"q{number}", head)

    def critic_weights(self) -> Iterator[Weight]:
        """Yield every weight: those of `exported`, and the V head's under the prefix `v`."""
        yield from self.exported()
        if self.v_head is not None:
            yield from head_weights("v", self.v_head)


def trunk_weights(trunk: CausalLM) -> Iterator[Weight]:
    """Yield the weights of a critic's trunk under the prefix `critic`, without an untied output
    embedding, which it does not use."""
    unused = {id(parameter) for parameter in trunk.untied_output()}
    for weight in weights_of(trunk.model):
        if id(weight.parameters[0]) not in unused:
            yield weight._replace(name=f"critic.{weight.name}")


def head_weights(prefix: str, head: nn.Module) -> Iterator[Weight]:
    """Yield the weights of a head under a prefix."""
    for name, parameter in head.named_parameters():
        yield Weight(f"{prefix}.{name}", [parameter])


def value_network(
    trunk: CausalLM,
    heads: int,
    start: float,
    kind: HeadKind,
    scale: float,
    with_v: bool,
    nll: bool,
    bins: int = 0,
    bounds: tuple[float, float] | None = None,
) -> ValueNetwork:
    """Return a value network on the trunk of a language model.

    Args:
        trunk: causal language model; its output embedding is frozen if it is not tied.
        heads: number of Q heads.
        start: every value before training, in reward units.
        kind: kind of the heads, `mlp` or `linear`.
        scale: unit of the heads' predictions, in reward units.
        with_v: whether there is a V head.
        nll: whether the loss needs cross-entropies of the Q values.
        bins: number of bins of a V head that predicts a distribution; 0 is a V head that predicts a
            number.
        bounds: lowest and highest value that the bins cover, in reward units; needed with bins.
    """
    trunk.freeze_output()
    return ValueNetwork(
        trunk,
        heads,
        trunk.output.in_features,
        trunk.tokens,
        start,
        kind,
        scale,
        with_v,
        nll,
        bins=bins,
        bounds=bounds,
    )
