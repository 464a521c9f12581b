"""Cases of the rollout benchmark."""

from dataclasses import asdict, dataclass, field
from typing import Any

TAIL = "benchmarks.rollout.long_tailed:LongTailed"

SHORT: dict[str, dict[str, Any]] = {
    "chess": {"max_moves": 30},
    "endgames": {"max_moves": 30},
    "maze-fo": {"max_steps": 30},
    "maze-po": {"max_steps": 30},
    "text-nav-fo": {"max_steps": 30},
    "text-nav-po": {"max_steps": 30},
}
"""Limits of the tasks in which a random policy would play for a hundred turns."""


@dataclass(frozen=True)
class Case:
    """Episodes to play.

    Attributes:
        name: name of the case.
        task, options: task and its options.
        episodes: number of episodes.
        width: number of episodes that run at one time.
        tokens: number of tokens of an action.
        seed: seed of the first episode.
    """

    name: str
    task: str
    options: dict[str, Any] = field(default_factory=dict)
    episodes: int = 128
    width: int = 64
    tokens: int = 8
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the case for another process."""
        return asdict(self)
