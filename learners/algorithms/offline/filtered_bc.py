"""Filtered behaviour cloning: clone the best episodes only (arXiv 2311.18232, section 5).

Offline these are the best episodes of the data set, online the best episodes of every round. In the
published code the online form trained on nothing in the tasks that show one state per turn, since
its rows were cut from the wrong history. Here every turn of a selected episode counts.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from learners.algorithms.offline.bc import BC
from lmrl.limits import ANY, Range, Used


def keep_share(
    returns: NDArray[np.floating], share: float, ties: bool = False
) -> NDArray[np.int64]:
    """Return the indices of the ⌊N share⌋ largest returns, ascending.

    Of equal returns the first ones are kept.

    Args:
        returns: undiscounted return of each episode `[N]`, in reward units.
        share: share of the episodes to keep, between 0 and 1.
        ties: whether to keep instead every return of at least the (1 − share) quantile, which may
            be more episodes.
    """
    returns = np.asarray(returns, float)
    if ties and len(returns):
        return keep_above(returns, float(np.percentile(returns, 100.0 * (1.0 - share))))
    best = np.argsort(-returns, kind="stable")[: int(np.floor(len(returns) * share))]
    return np.sort(best)


def keep_above(returns: NDArray[np.floating], threshold: float) -> NDArray[np.int64]:
    """Return the indices of the returns of at least `threshold`, ascending."""
    return np.flatnonzero(np.asarray(returns, float) >= threshold)


_BY_SHARE = Used("algorithm.by_share", "without algorithm.threshold")


@dataclass(frozen=True)
class FilteredBC(BC):
    """Behaviour cloning of the best episodes of a data set.

    Attributes:
        share: share of the episodes that is cloned, best ones first.
        ties: whether episodes with the same return as the worst selected one are cloned too.
        threshold: lowest return that is cloned; None selects by `share` instead.
    """

    share: Annotated[float, Range(above=0.0, high=1.0), _BY_SHARE] = 0.1
    ties: Annotated[bool, _BY_SHARE] = False
    threshold: Annotated[float | None, ANY] = None

    name: ClassVar[str] = "filtered_bc"
    selects: ClassVar[bool] = True

    @property
    def by_share(self) -> bool:
        """Whether episodes are selected by `share`, not by `threshold`."""
        return self.threshold is None

    def select(self, returns: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the indices of the episodes that are cloned, ascending."""
        if self.threshold is not None:
            return keep_above(returns, self.threshold)
        return keep_share(returns, self.share, self.ties)


@dataclass(frozen=True)
class OnlineFilteredBC(FilteredBC):
    """Behaviour cloning of the best episodes of every round, which the policy itself played."""

    share: Annotated[float, Range(above=0.0, high=1.0), _BY_SHARE] = 0.3

    name: ClassVar[str] = "online_filtered_bc"
    on_policy: ClassVar[bool] = True
