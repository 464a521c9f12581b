"""Group-in-group policy optimisation: groups of episodes, and groups of equal states in them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from learners.algorithms.base import Columns, Metrics, OldOutputs, ProcessGroup
from learners.algorithms.online.group_relative import group_metrics
from learners.algorithms.online.groups import compared, statistics
from learners.algorithms.online.grpo import GRPO
from learners.algorithms.returns import Values, per_step, reward_to_go
from learners.algorithms.turns import turns_of
from learners.batch import Batch, Index
from lmrl.limits import NOT_NEGATIVE, SHARE


@dataclass(frozen=True)
class GiGPO(GRPO):
    """Group-in-group policy optimisation (Feng et al. 2025, arXiv:2505.10978, eq. 3-8).

    A = A_episode + `step_weight` × A_step. A_episode is the advantage of GRPO. For A_step, the
    turns of a group that were taken in the same state, in any of its episodes, are a step group.
    A_step = (G − mean(G)) / std(G) over the step group, where G is the discounted return from the
    turn on. A turn whose state occurs once has A_step 0.

    Two states are the same if the policy had the same context. In tasks that show their whole state
    (mazes, text-nav, chess) states repeat within a group, and this is nearly a baseline for each
    state. In tasks with a history only the first turns have equal contexts. The other attributes
    are those of `GRPO` and `OnPolicy`.

    Attributes:
        step_weight: weight of the step advantage.
        gamma: discount factor at turn borders, for the returns of step groups.
    """

    step_weight: Annotated[float, NOT_NEGATIVE] = 1.0
    gamma: Annotated[float, SHARE] = 0.95

    name: ClassVar[str] = "gigpo"

    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return the advantages `[N]` of a round."""
        columns, _ = super().estimates(batch, old, reward, group)
        returns = reward_to_go(reward, batch.next, per_step(self.gamma, batch.turn_end, "turn"))
        turn, first, *_ = turns_of(batch)
        steps = step_groups(batch, first)
        step_advantage = compared(returns[first], steps, self.by_std)
        advantage = columns["advantage"] + self.step_weight * step_advantage[turn]
        shared = statistics(returns[first], steps).size > 1
        repeated, turns = group.total(shared.sum(), len(first))
        metrics = group_metrics(batch, advantage, group)
        return {"advantage": advantage}, {**metrics, "repeated_states": repeated / max(turns, 1.0)}


def step_groups(batch: Batch, first: Index) -> Index:
    """Return the step group of each turn `[turns]`: same group of episodes, same context.

    Args:
        batch: episodes.
        first: index of the first action token of each turn `[turns]`.
    """
    numbers: dict[tuple[int, bytes], int] = {}
    found = np.zeros(len(first), np.int64)
    for turn, n in enumerate(first.tolist()):
        row = batch.rows[batch.segment_row[batch.segment[n]]]
        context = row[: batch.position[n] + 1].tobytes()
        key = (int(batch.group[batch.episode[n]]), context)
        found[turn] = numbers.setdefault(key, len(numbers))
    return found
