"""Conservative SARSA: double Q-learning on the data's own next actions, with the CQL term.

This baseline is not in the paper. The published code has its loss, but no trainer that runs
(arXiv 2311.18232's repository; Kumar et al. 2020, arXiv:2006.04779). It is ILQL with another
target, y = r + γ min Q'(next state, next action), and without V.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from learners.algorithms.base import (
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TargetConfig,
)
from learners.algorithms.offline.value_based import ValueBased
from learners.algorithms.returns import per_step
from learners.batch import Batch
from lmrl.limits import Range

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from learners.networks.values import ValueOutputs


def sarsa_terms(
    q: Float[Tensor, "heads N"], y: Float[Tensor, "N"], known: Bool[Tensor, "N"]
) -> Float[Tensor, "heads N"]:
    """Return half the squared errors of the Q heads `[heads, N]`, 0 where there is no target.

    Args:
        q: values of the actions `[heads, N]`, in reward units.
        y: regression targets `[N]`, without gradient.
        known: whether the next action is known, or the episode terminated `[N]`. After a truncation
            no next action is known.
    """
    import torch

    return torch.where(known, 0.5 * (q - y).square(), 0.0)


@dataclass(frozen=True)
class ConservativeSARSA(ValueBased):
    """Conservative SARSA; the attributes are those of `learners.algorithms.offline.ilql.ILQL`."""

    polyak: Annotated[float, Range(above=0.0, high=1.0)] = 0.005
    target_trunk: bool = True

    name: ClassVar[str] = "sarsa"

    @property
    def target_config(self) -> TargetConfig:
        """Settings of the target network."""
        return TargetConfig(self.polyak, self.target_trunk)

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return rewards, discounts, and whether the next action is known `[N]`."""
        discount = per_step(self.gamma, batch.turn_end, self.credit) * (batch.next >= 0)
        known = batch.next < batch.actions
        return {"reward": batch.reward, "discount": discount, "known": known * 1.0}, {}, {}

    def loss(
        self, out: ValueOutputs, targets: Mapping[str, Tensor], normaliser: float
    ) -> LossOutput:
        """Return L_q1 + L_q2 + cql_weight (CE_1 + CE_2) of a micro-batch."""
        y = targets["reward"] + targets["discount"] * targets["target_q_next"].amin(0)
        error = sarsa_terms(out.q, y, targets["known"] > 0).sum()
        cost = out.nll.sum()
        return LossOutput(
            (error + self.cql_weight * cost) / normaliser,
            {
                "q_loss": error.detach() / len(out.q),
                "cql_loss": cost.detach() / len(out.q),
                "q": out.q.detach().mean(0).sum(),
                "y": y.sum(),
            },
        )
