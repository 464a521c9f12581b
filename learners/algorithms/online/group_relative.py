"""`GroupRelative`: the advantage of an episode comes from the other episodes of its group."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from learners.algorithms.base import Columns, Metrics, OldOutputs, ProcessGroup
from learners.algorithms.online.groups import (
    Values,
    acting,
    episode_returns,
    equal_groups,
)
from learners.algorithms.online.on_policy import OnPolicy
from learners.batch import Batch, Index
from lmrl.limits import NOT_NEGATIVE, Range

TWO_OR_MORE = Range(low=2)


@dataclass(frozen=True)
class GroupRelative(OnPolicy):
    """An algorithm without a critic that compares the episodes of a group.

    All action tokens of an episode have the advantage of the episode. The return of an episode is
    its undiscounted sum of rewards, with the KL penalty if that is in the reward. The attributes
    are those of `OnPolicy`.
    """

    group: Annotated[int, TWO_OR_MORE] = 8
    minibatch: Annotated[int, NOT_NEGATIVE] = 256

    @abstractmethod
    def compare(self, returns: Values, group: Index) -> Values:
        """Return the advantage of each episode `[M]`.

        Args:
            returns: return of each episode that has an action `[M]`.
            group: group of each of them `[M]`.
        """

    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return the advantages `[N]` of a round."""
        episodes = acting(batch)
        advantage = np.zeros(batch.episodes)
        returns = episode_returns(batch, reward)[episodes]
        advantage[episodes] = self.compare(returns, batch.group[episodes])
        column = advantage[batch.episode]
        return {"advantage": column}, group_metrics(batch, column, group)


def group_metrics(batch: Batch, advantage: Values, group: ProcessGroup) -> Metrics:
    """Return the metrics of a round of groups.

    Args:
        batch: this rank's episodes.
        advantage: advantage of each action token `[N]`.
        group: process group of all ranks.
    """
    firsts = np.unique(batch.episode, return_index=True)[1]
    numbers, place = np.unique(batch.group[batch.episode[firsts]], return_index=True)
    equal = equal_groups(batch)[firsts[place]]
    n, total, squares, groups, same, episodes = group.total(
        batch.actions,
        advantage.sum(),
        np.square(advantage).sum(),
        len(numbers),
        equal.sum(),
        len(firsts),
    )
    n, groups = max(n, 1.0), max(groups, 1.0)
    return {
        "advantage_std": max(squares / n - (total / n) ** 2, 0.0) ** 0.5,
        "equal_groups": same / groups,
        "group_size": episodes / groups,
    }
