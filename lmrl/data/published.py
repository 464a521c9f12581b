"""What the paper prints about its data sets, to hold ours against."""

from dataclasses import asdict, dataclass
from typing import Any

SOURCE = "arXiv 2311.18232, table 1"


@dataclass(frozen=True)
class Statistics:
    """A published data set.

    Attributes:
        episodes: how many, as the paper rounds it.
        length_mean, length_std: actions an episode.
        success: share of episodes that reached the goal.
        return_mean, return_std: of undiscounted returns.
    """

    episodes: int
    length_mean: float
    length_std: float
    success: float
    return_mean: float
    return_std: float


_MAZE = Statistics(1_240, 19.7, 24.5, 0.11, -19.7, 24.5)
_TEXT_NAV = Statistics(2_500, 12.2, 8.77, 0.26, 0.258, 0.424)

PUBLISHED: dict[str, Statistics] = {
    # Printed as 116.5 actions, which a talk of 50 utterances cannot have.
    "car-dealer": Statistics(19_000, 16.5, 3.61, 0.53, 0.562, 0.422),
    "chess": Statistics(625_000, 46.7, 18.16, 0.60, 0.210, 0.970),
    "endgames": Statistics(97_756, 11.9, 12.0, 0.59, 0.586, 0.492),
    # Both lengths are printed with a minus sign.
    "guess-my-city": Statistics(100_000, 18.8, 4.57, 0.53, -18.8, 4.12),
    "maze-fo": _MAZE,
    "maze-po": _MAZE,
    "text-nav-fo": _TEXT_NAV,
    "text-nav-po": _TEXT_NAV,
    "twenty-questions": Statistics(100_000, 14.9, 4.38, 0.31, -17.3, 2.56),
    "wordle": Statistics(1_000_000, 4.82, 1.27, 0.70, -4.12, 1.59),
}
"""Task -> statistics; the paper prints one column for both variants of a maze and of Text-Nav."""


def of_task(task: str) -> dict[str, Any] | None:
    """Return the statistics of a task's published data and their source, if there are any."""
    return {**asdict(PUBLISHED[task]), "source": SOURCE} if task in PUBLISHED else None
