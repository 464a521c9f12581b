"""Filtered behaviour cloning: clone the best episodes only (arXiv 2311.18232, section 5).

Offline the best of the data set, online the best of every round. Published, the online form trained
on nothing in the tasks that show one state a turn, since its rows were cut from the wrong history;
here every turn of a chosen episode counts.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from learners.algorithms.bc import BC
from lmrl.limits import ANY, Range, Used


def keep_share(
    returns: NDArray[np.floating], share: float, ties: bool = False
) -> NDArray[np.int64]:
    """Return the indices of the ⌊N share⌋ largest returns, ascending; of equal ones the first.

    Args:
        returns: undiscounted, of each episode `[N]`.
        share: between 0 and 1.
        ties: keep instead everything from the (1 − share) quantile on, which may be more.
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
        share: of the episodes that is cloned, the best ones.
        ties: whether episodes as good as the worst chosen one are cloned too.
        threshold: if given, the lowest return that is cloned, instead of a share.
    """

    share: Annotated[float, Range(above=0.0, high=1.0), _BY_SHARE] = 0.1
    ties: Annotated[bool, _BY_SHARE] = False
    threshold: Annotated[float | None, ANY] = None

    name: ClassVar[str] = "filtered_bc"
    selects: ClassVar[bool] = True

    @property
    def by_share(self) -> bool:
        """Whether a share of the episodes is cloned, not those above a threshold."""
        return self.threshold is None

    def select(self, returns: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the indices of the episodes that are cloned, ascending."""
        if self.threshold is not None:
            return keep_above(returns, self.threshold)
        return keep_share(returns, self.share, self.ties)


@dataclass(frozen=True)
class OnlineFilteredBC(FilteredBC):
    """Behaviour cloning of the best episodes of every round of the policy's own."""

    share: Annotated[float, Range(above=0.0, high=1.0), _BY_SHARE] = 0.3

    name: ClassVar[str] = "online_filtered_bc"
    on_policy: ClassVar[bool] = True
