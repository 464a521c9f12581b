"""Action-value heads, and a cross-entropy over the whole vocabulary, computed chunk by chunk."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from learners.config import HeadKind
from learners.networks.causal_lm import at_least_float32


class Head(nn.Module):
    """A module from hidden states to values, in float32, with constant outputs before training.

    It has one hidden layer of the trunk's width (`mlp`: relu, LeCun-normal weights) or none
    (`linear`). The parameters are its own, not those of submodules, so that it can use single
    columns under ZeRO 3 too.

    Args:
        width: hidden width H.
        outputs: number of values per state.
        start: value of every output before training, in reward units.
        kind: `mlp` or `linear`.
        scale: unit of the predictions, in reward units; `forward` multiplies by it.
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
        # The type is explicit, since the sampler's engine builds its model under another default.
        self.weight = nn.Parameter(torch.zeros(outputs, width, dtype=torch.float32))
        self.bias = nn.Parameter(torch.full((outputs,), start / scale, dtype=torch.float32))

    def forward(
        self,
        states: Tensor,
        tokens: Tensor | None = None,
        counts: Tensor | None = None,
        chunk: int = 256,
    ) -> tuple[Tensor, Tensor]:
        """Return values, and a weighted cross-entropy.

        Args:
            states: hidden states `[S, H]`.
            tokens: token of each state `[S]`; None is all outputs.
            counts: weight of each state in the cross-entropy `[S]`; None computes none.
            chunk: number of states whose values exist at one time for the cross-entropy.

        Returns:
            Values of the tokens `[S]`, or of all outputs `[S, outputs]`, in reward units; and the
            cross-entropy Σ −counts log softmax(values)[token], a scalar, 0 without `counts`.
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

    The gradient of the cross-entropy is a factor, known only in the backward pass, times a term
    that does not depend on it. The forward pass computes that term, chunk by chunk, together with
    the values. So no values are kept, and none are computed twice.
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
        """Return values of tokens `[S]` and Σ counts × cross-entropy, a scalar.

        Args:
            ctx: context of autograd.
            states: inputs of the last layer `[S, H]`.
            weight: weight of the last layer `[outputs, H]`.
            bias: bias of the last layer `[outputs]`.
            tokens: token of each state `[S]`.
            counts: weight of each state in the cross-entropy `[S]`.
            scale: factor of the values.
            chunk: number of states whose values exist at one time.
        """
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
            # z becomes counts x probabilities x scale, the gradient of the log-sum.
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
        """Return the gradients of states, weight and bias.

        Args:
            ctx: context of autograd.
            g_taken: gradient of the values `[S]`.
            g_nll: gradient of the cross-entropy, a scalar.
        """
        states, tokens, rows, d_states, d_weight, d_bias = ctx.saved_tensors
        g_nll = g_nll.to(states.dtype)
        each = (ctx.scale * g_taken).to(states.dtype)
        # In place, since the backward pass runs once.
        d_states = d_states.mul_(g_nll).add_(each[:, None] * rows)
        d_weight = d_weight.mul_(g_nll).index_add_(0, tokens, each[:, None] * states)
        d_bias = d_bias.mul_(g_nll).index_add_(0, tokens, each)
        return d_states, d_weight, d_bias, None, None, None, None
