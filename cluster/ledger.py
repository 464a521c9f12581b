"""`Ledger`: where every started episode went. Nothing is lost without being counted.

started = trained + evaluated + stale + failed, in every run that has ended.
"""

from dataclasses import asdict, dataclass


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
    """

    started: int = 0
    trained: int = 0
    evaluated: int = 0
    stale: int = 0
    failed: int = 0
    resubmitted: int = 0

    @property
    def open(self) -> int:
        """Episodes that have started and not yet ended in one of the four ways."""
        return self.started - self.trained - self.evaluated - self.stale - self.failed

    def to_json(self) -> dict[str, int]:
        """Return the counts."""
        return asdict(self)
