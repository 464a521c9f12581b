"""What networks are given, and what losses get from them."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from learners.micro_batch import MicroBatch


class Outputs(NamedTuple):
    """What the losses see.

    Attributes:
        logprob: of the entries' tokens `[E]`.
        observation_logprob: of the observation tokens `[E']`.
        value: of the entries' states `[E]`; zeros without a critic.
        entropy: of the policy at the entries' states `[E]`.
        bins: logits of the values' bins `[E, K]`, of a critic that has some; else None.
    """

    logprob: Tensor
    observation_logprob: Tensor
    value: Tensor
    entropy: Tensor
    bins: Tensor | None = None


class Inputs(NamedTuple):
    """A `learners.micro_batch.MicroBatch` as tensors on the device; see there for the shapes."""

    tokens: Tensor
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

    def trunk(self, tokens: Tensor) -> Tensor:
        """Return hidden states `[R, T, H]` of tokens `[R, T]`."""
        ...

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]` of hidden states `[S, H]`."""
        ...
