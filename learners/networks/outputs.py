"""Inputs and outputs of the networks."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from learners.micro_batch import MicroBatch


class Outputs(NamedTuple):
    """Outputs of a policy and its critic, from which losses are computed.

    Attributes:
        logprob: log-probabilities of the entries' tokens `[E]`, in nats.
        observation_logprob: log-probabilities of the observation tokens `[E']`, in nats.
        value: values of the entries' states `[E]`, in reward units; zeros without a critic.
        entropy: entropies of the policy at the entries' states `[E]`, in nats.
        bins: logits of the values' bins `[E, K]`; None if the critic has no bins.
        q: values of the entries' tokens `[heads, E]`, in reward units; None without a critic of
            utterances.
    """

    logprob: Tensor
    observation_logprob: Tensor
    value: Tensor
    entropy: Tensor
    bins: Tensor | None = None
    q: Tensor | None = None


class Inputs(NamedTuple):
    """A `learners.micro_batch.MicroBatch` as tensors on the device, with the same shapes."""

    tokens: Tensor
    lengths: Tensor
    state_row: Tensor
    state_position: Tensor
    entry_state: Tensor
    entry_token: Tensor
    is_action: Tensor
    observation_state: Tensor
    observation_token: Tensor

    @classmethod
    def of(cls, micro: MicroBatch, device: torch.device | str = "cpu") -> "Inputs":
        """Return the arrays of a micro-batch as tensors."""
        arrays = (getattr(micro, name) for name in cls._fields)
        return cls(*(torch.as_tensor(array, device=device) for array in arrays))


class LanguageModel(Protocol):
    """A causal language model in two parts."""

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return hidden states `[R, T, H]` of tokens `[R, T]`, padded on the right.

        Args:
            tokens: token ids `[R, T]`.
            lengths: number of tokens of each row `[R]`, whose hidden states are needed; None is T
                for every row.
        """
        ...

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]` of hidden states `[S, H]`."""
        ...
