"""Values as a distribution over bins, learned by cross-entropy (HL-Gauss; Farebrother et al. 2024,
arXiv:2403.03950, section 3.1).

A target becomes a Gaussian around it, cut into the bins' probabilities; a value is the mean of the
bins' centres. How large rewards are does not matter to the loss.
"""

import torch
from torch import Tensor, nn


def bin_edges(low: float, high: float, bins: int) -> Tensor:
    """Return the borders of `bins` equal bins `[K + 1]`."""
    return torch.linspace(low, high, bins + 1)


def target_distribution(y: Tensor, edges: Tensor, width: float = 0.75) -> Tensor:
    """Return the bins' probabilities of targets `[N, K]`.

    pₖ ∝ Φ((bₖ₊₁ − y) / σ) − Φ((bₖ − y) / σ), normalised to the mass inside the range.

    Args:
        y: targets `[N]`; those outside the range are moved to its border.
        edges: `[K + 1]`.
        width: σ in units of a bin.
    """
    edges = edges.to(y)
    sigma = width * (edges[1] - edges[0])
    inside = y.clamp(edges[0].item(), edges[-1].item())
    below = torch.erf((edges - inside[:, None]) / (sigma * 2.0**0.5))
    mass = (below[:, 1:] - below[:, :-1]).clamp(min=0.0)
    return mass / mass.sum(-1, keepdim=True)


def cross_entropy(logits: Tensor, y: Tensor, edges: Tensor) -> Tensor:
    """Return −Σ pₖ log softmax(logits)ₖ of each target `[N]`.

    Args:
        logits: `[N, K]`.
        y: targets `[N]`, without gradient.
        edges: `[K + 1]`.
    """
    return -(target_distribution(y, edges) * logits.log_softmax(-1)).sum(-1)


class BinnedValueHead(nn.Module):
    """A linear head whose outputs are logits of bins; it starts at a constant value.

    Args:
        width: H.
        start: value before any training.
        low, high: range of values.
        bins: K.
    """

    def __init__(self, width: int, start: float, low: float, high: float, bins: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, bins, dtype=torch.float32)
        edges = bin_edges(low, high, bins)
        self.register_buffer("edges", edges, persistent=False)
        nn.init.zeros_(self.linear.weight)
        first = target_distribution(torch.tensor([start], dtype=torch.float64), edges)[0]
        with torch.no_grad():
            self.linear.bias.copy_(first.clamp(min=1e-6).log())

    def forward(self, states: Tensor) -> Tensor:
        """Return logits `[S, K]`."""
        logits: Tensor = self.linear(states.to(self.linear.weight.dtype))
        return logits

    def value(self, logits: Tensor) -> Tensor:
        """Return the mean of the bins' centres `[S]`, in float32."""
        edges: Tensor = self.get_buffer("edges").float()
        return logits.float().softmax(-1) @ ((edges[1:] + edges[:-1]) / 2.0)
