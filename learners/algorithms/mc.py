"""Monte-Carlo returns: Q regresses to the discounted return that followed in the data.

One Q head, no target network, no V head (arXiv 2311.18232, section 5 and appendix D). Repaired by
default: credit is discounted at turn borders (`credit="token"` is the published way), and values of
tokens that were never taken are held down (`cql_weight`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from torch import Tensor

from learners.algorithms.base import (
    Algorithm,
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    ValueGuidance,
)
from learners.algorithms.returns import Credit, per_step, reward_to_go
from learners.batch import Batch
from learners.networks.causal_lm import CausalLM
from learners.networks.heads import HeadKind
from learners.networks.values import ValueNetwork, ValueOutputs, value_network
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Range


def mc_terms(q: Tensor, returns: Tensor) -> Tensor:
    """Return half the squared errors of Q against returns `[N]`.

    Args:
        q: of the actions `[N]`.
        returns: discounted rewards to go `[N]`, without gradient.
    """
    return 0.5 * (q - returns).square()


@dataclass(frozen=True)
class MC(Algorithm):
    """Monte-Carlo returns.

    Attributes:
        gamma: discount.
        credit: whether γ acts at each action token or at each turn border.
        cql_weight: weight of the cross-entropy of the data's tokens under Q read as logits.
        head: kind of the Q head.
        value_start: every value before training. At or below the lowest return, no token looks good
            for never having been tried.
        value_scale: the head predicts in units of this.
        endless: how the rest of an episode that was cut is valued: with its own mean reward a turn
            for ever, or, as published, with 0.
        beta: the sampler's weight of Q: it samples from softmax(log π_start + β Q).
        top_p: restricts the sampler to the start policy's nucleus; 1 does not.
        epochs: passes over each batch.
    """

    gamma: Annotated[float, SHARE] = 0.99
    credit: Credit = "turn"
    cql_weight: Annotated[float, NOT_NEGATIVE] = 0.01
    head: HeadKind = "mlp"
    value_start: float = 0.0
    value_scale: Annotated[float, POSITIVE] = 1.0
    endless: bool = False
    beta: Annotated[float, NOT_NEGATIVE] = 4.0
    top_p: Annotated[float, Range(above=0.0, high=1.0)] = 1.0
    epochs: Annotated[int, COUNT] = 1

    name: ClassVar[str] = "mc"

    @property
    def guidance(self) -> ValueGuidance:
        """How the sampler uses the values."""
        return ValueGuidance(1, self.head, self.value_scale, self.beta, self.top_p)

    def network(self, load: Callable[[], CausalLM]) -> ValueNetwork:
        """Return the network that is trained."""
        return value_network(
            load(), 1, self.value_start, self.head, self.value_scale, False, self.cql_weight > 0
        )

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return the returns."""
        discount = per_step(self.gamma, batch.turn_end, self.credit)
        tails = self._tails(batch) if self.endless else None
        returns = reward_to_go(batch.reward, batch.next, discount, tails)
        return {"returns": returns}, {}, {}

    def _tails(self, batch: Batch) -> np.ndarray:
        """Return the value of what an episode that was cut would have gone on to `[K]`."""
        last = np.flatnonzero(batch.next >= batch.actions)
        episodes = batch.episode[last]
        rewards = np.bincount(batch.episode, batch.reward, batch.episodes)[episodes]
        turns = np.bincount(batch.episode, batch.turn_end, batch.episodes)[episodes]
        tails = np.zeros(batch.entries - batch.actions)
        tails[batch.next[last] - batch.actions] = rewards / turns / max(1.0 - self.gamma, 1e-6)
        return tails

    def loss(
        self, out: ValueOutputs, targets: Mapping[str, Tensor], normaliser: float
    ) -> LossOutput:
        """Return L_q + cql_weight CE of a micro-batch."""
        q, returns = out.q[0], targets["returns"]
        error = mc_terms(q, returns).sum()
        cost = out.nll.sum()
        return LossOutput(
            (error + self.cql_weight * cost) / normaliser,
            {
                "q_loss": error.detach(),
                "cql_loss": cost.detach(),
                "q": q.detach().sum(),
                "returns": returns.sum(),
            },
        )
