"""Selection of the episodes of a data set that an algorithm learns from."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learners.algorithms.base import Algorithm
from lmrl.data.store import stored_returns
from lmrl.errors import UsageError


def selected(algorithm: Algorithm, path: Path) -> NDArray[np.bool_]:
    """Return which episodes of a data set an algorithm learns from `[episodes]`.

    Raises:
        UsageError: if the algorithm selects no episode.
    """
    returns = stored_returns(path)
    result = np.zeros(len(returns), np.bool_)
    result[algorithm.select(returns)] = True
    if not result.any():
        raise UsageError(
            f"none of the {len(returns)} episodes of {path} is good enough for {algorithm.name}; "
            "raise algorithm.share or lower algorithm.threshold"
        )
    return result
