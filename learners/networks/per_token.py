"""Log-probabilities and entropies at the needed states, computed chunk by chunk.

No `[S, V]` tensor is kept.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from learners.networks.causal_lm import at_least_float32


class PerToken(nn.Module):
    """Figures of the distribution over the vocabulary at some tokens, a chunk of states at a time.

    With gradient, the logits of a chunk are not kept, but computed again in the backward pass.

    No other module reads the output embedding during training. Under ZeRO 3 the embedding is
    gathered when this module is entered, once in the forward and once in the backward pass. So the
    number of collectives does not depend on the number of chunks, in which ranks differ.

    Args:
        read: function from states `[S, H]` to logits `[S, V]`.
        figures: function from logits `[S, V]`, the state `[E]` and the token `[E]` of each entry to
            figures `[2, E]`.
        chunk: number of states whose logits exist at one time.
        output: module whose parameters `read` uses; None if they are never sharded.
    """

    def __init__(
        self,
        read: Callable[[Tensor], Tensor],
        figures: Callable[[Tensor, Tensor, Tensor], Tensor],
        chunk: int,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.read, self.figures, self.chunk = read, figures, chunk
        self.output = (output,)  # in a tuple: the module is a part of the model, not of this one

    def reads(self) -> list[nn.Parameter]:
        """Return the parameters of other modules that `forward` uses."""
        return [] if self.output[0] is None else list(self.output[0].parameters())

    def forward(self, states: Tensor, which: Tensor, token: Tensor) -> Tensor:
        """Return figures `[2, E]`, in float32 at least.

        Args:
            states: hidden states `[S, H]`.
            which: state of each entry `[E]`.
            token: token of each entry `[E]`.
        """
        if len(states) <= self.chunk:
            return self._chunk(states, which, token)
        found = states.new_zeros(2, len(which), dtype=at_least_float32(states.dtype))
        rows = torch.arange(2, device=states.device)[:, None]
        for start in range(0, len(states), self.chunk):
            here = torch.nonzero((which >= start) & (which < start + self.chunk)).squeeze(-1)
            part = checkpoint(
                self._chunk,
                states[start : start + self.chunk],
                which[here] - start,
                token[here],
                use_reentrant=False,
            )
            found = found.index_put((rows, here), part)
        return found

    def _chunk(self, states: Tensor, which: Tensor, token: Tensor) -> Tensor:
        logits = self.read(states)
        return self.figures(logits.to(at_least_float32(logits.dtype)), which, token)


def _likelihoods(logits: Tensor, which: Tensor, token: Tensor) -> Tensor:
    """Return each entry's log-probability and its state's entropy, without gradient, `[2, E]`."""
    logp = F.log_softmax(logits, dim=-1)
    entropy = -(logp.detach().exp() * logp.detach()).sum(-1)
    return torch.stack([logp[which, token], entropy[which]])


def _trained_likelihoods(logits: Tensor, which: Tensor, token: Tensor) -> Tensor:
    """Return the same with the gradient of the entropy, which a bonus in the loss needs."""
    logp = F.log_softmax(logits, dim=-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return torch.stack([logp[which, token], entropy[which]])
