"""`Ledger`: counts of started episodes by their use. Every lost episode is counted.

In every run that has ended, started = trained + evaluated + stale + failed. At every checkpoint
the difference is the number of episodes that a resumed run plays again; else the run stops.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lmrl.errors import RunError


@dataclass
class Ledger:
    """Counts of episodes.

    Attributes:
        started: number of episodes given to a simulator. An episode that is played again after its
            simulator died is not counted again.
        trained: number of episodes that the learner used.
        evaluated: number of episodes that were scored.
        stale: number of episodes that were dropped because a token was sampled too many versions
            ago.
        failed: number of episodes that ended with an error; `failures.jsonl` has seed and error.
        resubmitted: number of times that an episode was given to a simulator again after an actor
            died.
        oracle: usage of the model that answers for the task, if there is one, as the fields of
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
        """Number of episodes that have started and are not yet counted in one of the four ways."""
        return self.started - self.trained - self.evaluated - self.stale - self.failed

    def check(self, pending: int) -> None:
        """Check that every started episode is counted once, or known to be pending.

        Args:
            pending: number of episodes that are started and in none of the four counts.

        Raises:
            RunError: if not.
        """
        if self.open != pending:
            raise RunError(
                f"the ledger does not add up: of {self.started} started episodes {self.trained} "
                f"were trained on, {self.evaluated} evaluated, {self.stale} stale, {self.failed} "
                f"failed, and {pending} are pending. This is a fault of lmrl: please report it, "
                "with the run's log.txt and recoveries.jsonl"
            )

    def asked(self, usage: Mapping[str, int]) -> None:
        """Add usage of the model that answers for the task."""
        for name, count in usage.items():
            self.oracle[name] = self.oracle.get(name, 0) + count

    def metrics(self) -> dict[str, float]:
        """Return the counts of episodes as metrics of an update."""
        names = ("started", "trained", "evaluated", "stale", "failed")
        return {f"ledger/{name}": float(getattr(self, name)) for name in names}

    def copy(self) -> "Ledger":
        """Return the counts as they are now."""
        return replace(self, oracle=dict(self.oracle))

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return asdict(self)
