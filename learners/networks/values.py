"""Networks that predict action values for every next token: a trunk with Q heads and a V head.

Vocabulary-wide Q values exist at action states only, a chunk of states at a time; where a loss does
not need the whole vocabulary only the columns of the actions are ever computed.
"""

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from learners.algorithms.base import OldOutputs, TargetConfig
from learners.batch import Batch, MicroBatch
from learners.networks.actor_critic import CausalLM, Inputs, LanguageModel, at_least_float32
from learners.networks.hl_gauss import BinnedValueHead

HeadKind = Literal["mlp", "linear"]


class TargetValues(NamedTuple):
    """What a target network says.

    Attributes:
        q: of the entries' tokens `[heads, E]`.
        v: of the entries' states `[E]`; zeros without a V head.
    """

    q: Tensor
    v: Tensor


class ValueOutputs(NamedTuple):
    """What the losses of value learning see.

    Attributes:
        q: of the entries' tokens, one row a Q head `[heads, E]`; entries without an action hold
            the value of token 0.
        nll: cross-entropy of the actions under each Q head read as logits, summed over the entries
            that are actions `[heads]`; zeros without gradient or if nobody asked for it.
        v: of the entries' states `[E]`; zeros without a V head.
        bins: logits of the bins of V `[E, K]`, of a V head that has some; else None.
    """

    q: Tensor
    nll: Tensor
    v: Tensor
    bins: Tensor | None = None


class Head(nn.Module):
    """From hidden states to values, in float32; every output starts at a constant.

    With one hidden layer of the trunk's width (`mlp`: relu, LeCun-normal weights) or none
    (`linear`). It owns its parameters, so that reading some columns only works under ZeRO 3 too.

    Args:
        width: H.
        outputs: values a state has.
        start: every output before training, in units of `scale`.
        kind: of the head.
        scale: outputs are in units of this.
    """

    def __init__(
        self, width: int, outputs: int, start: float, kind: HeadKind, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale, self.outputs = scale, outputs
        if kind == "mlp":
            self.hidden_weight = nn.Parameter(torch.empty(width, width, dtype=torch.float32))
            self.hidden_bias = nn.Parameter(torch.zeros(width, dtype=torch.float32))
            nn.init.trunc_normal_(self.hidden_weight, std=width**-0.5, a=-2.0, b=2.0)
        else:
            self.register_parameter("hidden_weight", None)
            self.register_parameter("hidden_bias", None)
        # Named, because the sampler's engine builds its model under another default type.
        self.weight = nn.Parameter(torch.zeros(outputs, width, dtype=torch.float32))
        self.bias = nn.Parameter(torch.full((outputs,), start / scale, dtype=torch.float32))

    def forward(
        self,
        states: Tensor,
        tokens: Tensor | None = None,
        counts: Tensor | None = None,
        chunk: int = 256,
    ) -> tuple[Tensor, Tensor]:
        """Return values, and a cross-entropy if asked for.

        Args:
            states: `[S, H]`.
            tokens: of each state `[S]`; None returns all outputs `[S, outputs]`.
            counts: if given, Σ −counts log softmax(values)[token] is returned too, a scalar `[S]`.
            chunk: states whose values exist at one time for that sum.
        """
        states = states.to(self.weight.dtype)
        if self.hidden_weight is not None:
            states = torch.relu(nn.functional.linear(states, self.hidden_weight, self.hidden_bias))
        none = self.weight.new_zeros((), dtype=torch.float32)
        if tokens is None:
            values = nn.functional.linear(states, self.weight, self.bias)
            return values if self.scale == 1.0 else self.scale * values, none
        if counts is None:
            picked = (states * self.weight[tokens]).sum(-1) + self.bias[tokens]
            return self.scale * picked.to(at_least_float32(picked.dtype)), none
        taken, nll = TakenAndNll.apply(  # type: ignore[no-untyped-call]
            states, self.weight, self.bias, tokens, counts, self.scale, chunk
        )
        return taken, nll


class TakenAndNll(torch.autograd.Function):
    """Values of tokens `[S]` and a weighted cross-entropy over all values, a scalar.

    The cross-entropy's gradient is linear in one number that is not known before the backward pass.
    So it is computed on the way forward, chunk by chunk, while a chunk's values are at hand: no
    value is kept, and none is computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        tokens: Tensor,
        counts: Tensor,
        scale: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        """Return values of tokens and Σ counts × cross-entropy."""
        kind = at_least_float32(states.dtype)
        taken = states.new_empty(len(states), dtype=kind)
        nll = states.new_zeros((), dtype=kind)
        d_states = torch.empty_like(states)
        d_weight = torch.zeros_like(weight)
        d_bias = torch.zeros_like(bias)
        counts = counts.to(kind)
        for i in range(0, len(states), chunk):
            part, token, count = (x[i : i + chunk] for x in (states, tokens, counts))
            z = torch.addmm(bias, part, weight.t()).to(kind)
            if scale != 1.0:
                z.mul_(scale)
            taken[i : i + chunk] = z.gather(-1, token[:, None]).squeeze(-1)
            top = z.amax(-1, keepdim=True)
            total = z.sub_(top).exp_().sum(-1)
            nll += (count * (top.squeeze(-1) + total.log() - taken[i : i + chunk])).sum()
            # From here on z is counts x probabilities x scale: the gradient of the log-sum.
            share = z.mul_((scale * count / total)[:, None]).to(states.dtype)
            torch.mm(share, weight, out=d_states[i : i + chunk])
            d_weight.addmm_(share.t(), part)
            d_bias += share.sum(0)
        rows = weight[tokens]
        weighted = (scale * counts).to(states.dtype)
        d_states.sub_(weighted[:, None] * rows)
        d_weight.index_add_(0, tokens, weighted[:, None] * states, alpha=-1)
        d_bias.index_add_(0, tokens, weighted, alpha=-1)
        ctx.save_for_backward(states, tokens, rows, d_states, d_weight, d_bias)
        ctx.scale = scale
        return taken, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_taken: Tensor, g_nll: Tensor) -> tuple[Any, ...]:
        """Return gradients of states, weight and bias."""
        states, tokens, rows, d_states, d_weight, d_bias = ctx.saved_tensors
        g_nll = g_nll.to(states.dtype)
        each = (ctx.scale * g_taken).to(states.dtype)
        # In place: this graph is walked once.
        d_states = d_states.mul_(g_nll).add_(each[:, None] * rows)
        d_weight = d_weight.mul_(g_nll).index_add_(0, tokens, each[:, None] * states)
        d_bias = d_bias.mul_(g_nll).index_add_(0, tokens, each)
        return d_states, d_weight, d_bias, None, None, None, None


class ValueNetwork(nn.Module):
    """A trunk with Q heads and perhaps a V head.

    Args:
        trunk: a causal language model whose output embedding is not used.
        heads: how many Q heads.
        outputs: of a Q head: the vocabulary.
        start: every value before training, in reward units.
        kind: of the heads.
        scale: the heads predict in units of this.
        with_v: whether there is a V head.
        nll: whether the loss needs cross-entropies of the Q values.
        chunk: states whose Q values exist at one time.
        bins: of a V head that predicts a distribution over so many; 0 predicts a number.
        bounds: lowest and highest value that the bins have to hold; needed with bins.
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
        return self.values(self.states(inputs.tokens, inputs), inputs)

    def states(self, tokens: Tensor, inputs: Inputs) -> Tensor:
        """Return the hidden states that are needed `[S, H]`."""
        hidden = cast(LanguageModel, self.trunk).trunk(tokens)
        return hidden[inputs.state_row, inputs.state_position]

    def values(self, states: Tensor, inputs: Inputs) -> ValueOutputs:
        """Return values at the entries, given hidden states `[S, H]`."""
        # Equal state and action give equal values: each pair is computed once.
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
        self, inputs: Inputs, states: Tensor, reference: CausalLM | None
    ) -> "TargetValues":
        """Return what a slow copy of this network says at the entries.

        Args:
            inputs: of the pass.
            states: hidden states `[S, H]`.
            reference: the start policy, if it is kept.
        """
        out = self.values(states, inputs)
        return TargetValues(out.q, out.v)

    def exported(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what a value-guided sampler needs, under the names it knows: the trunk without its
        output embedding, and the Q heads."""
        trunk = self.trunk
        assert isinstance(trunk, CausalLM)
        for name, parameter in trunk.model.named_parameters():
            if parameter is not trunk.model.get_output_embeddings().weight or _tied(trunk.model):
                yield f"critic.{name}", parameter
        for number, head in enumerate(self.q_heads, 1):
            for name, parameter in head.named_parameters():
                yield f"q{number}.{name}", parameter


def _tied(model: Any) -> bool:
    return bool(model.config.tie_word_embeddings)


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
    """Return a value network around a language model; see `ValueNetwork` for the arguments."""
    outputs, width = freeze_output(trunk).shape
    return ValueNetwork(
        trunk,
        heads,
        width,
        outputs,
        start,
        kind,
        scale,
        with_v,
        nll,
        bins=bins,
        bounds=bounds,
    )


def freeze_output(trunk: CausalLM) -> Tensor:
    """Return the output embedding `[V, H]` of a language model that is used as a trunk.

    It predicts nothing then, and without a gradient of its own it would break ZeRO.
    """
    embedding: Tensor = trunk.model.get_output_embeddings().weight
    embedding.requires_grad_(_tied(trunk.model))
    return embedding


class Target:
    """A slow copy of a value network: θ' ← α θ + (1 − α) θ' after every optimiser step, in float32
    whatever the network's type (small steps would be lost in bfloat16).

    Args:
        network: to copy; before DeepSpeed has it.
        follows: α, and what else there is to say.
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
        now: values of the whole batch; if it holds none, every following state is in this pass.
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
