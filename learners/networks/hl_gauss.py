"""Values as a distribution over bins, learned by cross-entropy (HL-Gauss; Farebrother et al. 2024,
arXiv:2403.03950, section 3.1).

The target distribution is a Gaussian around the target value, integrated over each bin. A value is
the mean of the bins' centres. The loss does not depend on the scale of rewards.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

WIDTH = 0.75
"""σ of a target's Gaussian, in bin widths (section 4.1 of the paper)."""
REACH = 3.0
"""Distance from the lowest and highest value to the ends of the bins, in σ. Without it a Gaussian
at a bound would be cut off there. Its mean would lie inside, and the bound could not be learned."""


def bin_edges(low: float, high: float, bins: int) -> Float[Tensor, "edges"]:
    """Return the borders of equal bins `[K + 1]`, which extend 3 σ beyond `low` and `high`.

    Args:
        low, high: lowest and highest value, in reward units.
        bins: number of bins K.
    """
    beyond = REACH * WIDTH * (high - low) / (bins - 2.0 * REACH * WIDTH)
    return torch.linspace(low - beyond, high + beyond, bins + 1)


def target_distribution(
    y: Float[Tensor, "N"], edges: Float[Tensor, "edges"]
) -> Float[Tensor, "N edges-1"]:
    """Return the bins' probabilities of targets `[N, K]`.

    pₖ ∝ Φ((bₖ₊₁ − y) / σ) − Φ((bₖ − y) / σ), normalised to the mass inside the bins.

    Args:
        y: targets `[N]`. Targets less than 3 σ from an end of the bins are moved to 3 σ from it.
        edges: borders of the bins `[K + 1]`.
    """
    edges = edges.to(y)
    sigma = WIDTH * (edges[1] - edges[0])
    inside = y.clamp((edges[0] + REACH * sigma).item(), (edges[-1] - REACH * sigma).item())
    below = torch.erf((edges - inside[:, None]) / (sigma * 2.0**0.5))
    mass = (below[:, 1:] - below[:, :-1]).clamp(min=0.0)
    return mass / mass.sum(-1, keepdim=True)


def cross_entropy(
    logits: Float[Tensor, "N K"], y: Float[Tensor, "N"], edges: Float[Tensor, "edges"]
) -> Float[Tensor, "N"]:
    """Return −Σ pₖ log softmax(logits)ₖ of each target `[N]`.

    Args:
        logits: logits of the bins `[N, K]`.
        y: targets `[N]`, in reward units, without gradient.
        edges: borders of the bins `[K + 1]`.
    """
    return -(target_distribution(y, edges) * logits.log_softmax(-1)).sum(-1)


class BinnedValueHead(nn.Module):
    """A linear head whose outputs are logits of bins, with a constant value before training.

    Args:
        width: hidden width H.
        start: value of every state before training, in reward units.
        low, high: lowest and highest value, in reward units.
        bins: number of bins K.
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
        """Return the mean of the bins' centres `[S]`, in float32 and reward units."""
        edges: Tensor = self.get_buffer("edges").float()
        return logits.float().softmax(-1) @ ((edges[1:] + edges[:-1]) / 2.0)
