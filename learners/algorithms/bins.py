"""Checks of the bins of a value that is learned as a distribution, without torch.

`learners.networks.hl_gauss` has the distribution itself.
"""

from typing import Any

from lmrl.errors import UsageError

FEWEST = 8
"""Smallest number of bins: 2 x REACH x WIDTH = 4.5 of them lie beyond the bounds."""


def check_bins(bins: int, bounds: tuple[float, float] | None) -> None:
    """Refuse a number of bins, or bounds, with which no value can be learned.

    Args:
        bins: number of bins; with 0 no bounds are needed.
        bounds: lowest and highest value, in reward units.

    Raises:
        UsageError: if the bounds are missing or in the wrong order, or there are too few bins.
    """
    if bounds is not None and not bounds[0] < bounds[1]:
        raise UsageError(
            f"algorithm.value_bounds {bounds[0]:g}, {bounds[1]:g}: give the lower one first"
        )
    if not bins:
        return
    if bins < FEWEST:
        raise UsageError(f"algorithm.value_bins is {bins}; give 0 for none, or {FEWEST} or more")
    if bounds is None:
        raise UsageError(
            f"algorithm.value_bins {bins} needs algorithm.value_bounds: give the lowest and the "
            "highest return of an episode of the task, like '[-101, 0]' for the mazes"
        )


def clipped_targets(y: Any, bounds: tuple[float, float] | None) -> Any:
    """Return the number of targets outside the bounds, a scalar; they are moved to the bounds.

    Args:
        y: targets `[N]`, in reward units.
        bounds: lowest and highest value, in reward units.
    """
    assert bounds is not None
    return ((y < bounds[0]) | (y > bounds[1])).sum()
