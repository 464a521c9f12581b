"""`Ledger`: where every started episode went. Nothing is lost without being counted.

started = trained + evaluated + stale + failed, in every run that has ended.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Ledger:
    """Counts of episodes.

    Attributes:
        started: handed to a simulator; an episode that is played again after its simulator died
            is not counted again.
        trained: reached the learner.
        evaluated: made a score.
        stale: dropped because their tokens were sampled too many versions ago.
        failed: ended by an error, which `failures.jsonl` has with the seed.
        resubmitted: how often an episode was handed out again after an actor died.
        oracle: what was asked of the model that answers for the task, if one does; see
            `actors.chat.config.ChatUsage`.
    """

    started: int = 0
    trained: int = 0
    evaluated: int = 0
    stale: int = 0
    failed: int = 0
    resubmitted: int = 0
    oracle: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """Episodes that have started and not yet ended in one of the four ways."""
        return self.started - self.trained - self.evaluated - self.stale - self.failed

    def asked(self, usage: Mapping[str, int]) -> None:
        """Add what was asked of the task's model."""
        for name, count in usage.items():
            self.oracle[name] = self.oracle.get(name, 0) + count

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return asdict(self)
