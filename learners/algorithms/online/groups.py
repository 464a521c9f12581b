"""Statistics of groups: episodes that begin in the same state.

Every rank has whole groups (`learners.process_group.group_shares`), so statistics of groups need no
other rank. An episode that failed leaves its group smaller. In a group of one there is nothing to
compare with, and the advantage is 0.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from learners.batch import Batch, Index

Values = Float[np.ndarray, "M"]


class GroupStatistics(NamedTuple):
    """Statistics of the group of each member, `[M]` each.

    Attributes:
        size: number of members.
        mean: mean of their values.
        std: population standard deviation of their values.
    """

    size: Values
    mean: Values
    std: Values


def statistics(values: Values, group: Index) -> GroupStatistics:
    """Return the statistics of the group of each member.

    Args:
        values: value of each member `[M]`.
        group: group of each member `[M]`, numbers from 0.
    """
    size = np.bincount(group).astype(np.float64)
    divisor = np.maximum(size, 1.0)
    mean = np.bincount(group, values) / divisor
    # Two passes: where all values are equal the deviation is 0, not what rounding leaves.
    variance = np.bincount(group, np.square(values - mean[group])) / divisor
    return GroupStatistics(size[group], mean[group], np.sqrt(variance)[group])


def compared(values: Values, group: Index, by_std: bool, eps: float = 1e-4) -> Values:
    """Return (x − mean) / (std + eps) over each group, or x − mean `[M]`.

    Args:
        values: value of each member `[M]`.
        group: group of each member `[M]`, numbers from 0.
        by_std: whether to divide by the group's standard deviation.
        eps: term that is added to the standard deviation, in the unit of the values.
    """
    found = statistics(values, group)
    centred = np.where(found.size > 1, values - found.mean, 0.0)
    return centred / (found.std + eps) if by_std else centred


def leave_one_out(values: Values, group: Index) -> Values:
    """Return each value minus the mean of the other values of its group `[M]`.

    Args:
        values: value of each member `[M]`.
        group: group of each member `[M]`, numbers from 0.
    """
    size, mean, _ = statistics(values, group)
    # x − (n m − x) / (n − 1) = (x − m) n / (n − 1)
    return np.where(size > 1, (values - mean) * size / np.maximum(size - 1.0, 1.0), 0.0)


def episode_returns(batch: Batch, reward: Float[np.ndarray, "N"]) -> Values:
    """Return the undiscounted return of each episode `[episodes]`, in reward units.

    Args:
        batch: episodes.
        reward: reward of each action token `[N]`.
    """
    return np.bincount(batch.episode, reward, minlength=batch.episodes)


def acting(batch: Batch) -> Index:
    """Return the episodes that have an action, ascending; the others belong to no group."""
    return np.unique(batch.episode)


def equal_groups(batch: Batch) -> Bool[np.ndarray, "N"]:
    """Return whether all episodes of a token's group have the same return `[N]`.

    Such a group does not say which action is better (Yu et al. 2025, arXiv:2503.14476, section
    3.2).
    """
    episodes = acting(batch)
    returns = episode_returns(batch, batch.reward)[episodes]
    equal = np.zeros(batch.episodes, np.bool_)
    spread = statistics(returns, batch.group[episodes]).std
    equal[episodes] = spread <= 1e-6 * np.maximum(np.abs(returns), 1.0)
    return equal[batch.episode]
