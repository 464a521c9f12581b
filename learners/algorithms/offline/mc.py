"""Monte-Carlo returns: Q regresses to the discounted return that followed in the data.

One Q head, no target network, no V head (arXiv 2311.18232, section 5 and appendix D). The defaults
differ from the published code: credit is discounted at turn borders (`credit="token"` is the
published way), and values of tokens that were never taken are kept low (`cql_weight`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from learners.algorithms.base import (
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
)
from learners.algorithms.offline.value_based import ValueBased
from learners.algorithms.returns import per_step, reward_to_go
from learners.batch import Batch
from lmrl.errors import UsageError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from learners.networks.values import ValueOutputs


def mc_terms(q: Float[Tensor, "N"], returns: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Return half the squared errors of Q against returns `[N]`.

    Args:
        q: values of the actions `[N]`, in reward units.
        returns: discounted rewards to go `[N]`, in reward units, without gradient.
    """
    return 0.5 * (q - returns).square()


@dataclass(frozen=True)
class MC(ValueBased):
    """Monte-Carlo returns. The other attributes are those of `ValueBased`.

    Attributes:
        endless: whether the rest of a truncated episode counts as its mean reward per turn,
            repeated for ever. If not, it counts as 0, as published.
    """

    endless: bool = False

    name: ClassVar[str] = "mc"
    q_heads: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse a return that is infinite.

        Raises:
            UsageError: for an endless rest without a discount.
        """
        if self.endless and self.gamma >= 1.0:
            raise UsageError(
                f"algorithm.endless with algorithm.gamma {self.gamma:g} makes the return of a "
                "truncated episode infinite; give a gamma below 1, or set endless to false"
            )

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return the column `returns` `[N]`."""
        discount = per_step(self.gamma, batch.turn_end, self.credit)
        tails = self._tails(batch) if self.endless else None
        returns = reward_to_go(batch.reward, batch.next, discount, tails)
        return {"returns": returns}, {}, {}

    def _tails(self, batch: Batch) -> np.ndarray:
        """Return the value of the missing rest of each truncated episode `[K]`.

        The rest is the episode's own mean turn for ever, so of reward r and n action tokens: a
        geometric series whose first reward is n - 1 tokens away.
        """
        last = np.flatnonzero(batch.next >= batch.actions)
        episodes = batch.episode[last]
        rewards = np.bincount(batch.episode, batch.reward, batch.episodes)[episodes]
        turns = np.bincount(batch.episode, batch.turn_end, batch.episodes)[episodes]
        length = np.bincount(batch.episode, minlength=batch.episodes)[episodes] / turns
        length = length if self.credit == "token" else np.ones_like(length)
        series = self.gamma ** (length - 1.0) / (1.0 - self.gamma**length)
        tails = np.zeros(batch.entries - batch.actions)
        tails[batch.next[last] - batch.actions] = rewards / turns * series
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
