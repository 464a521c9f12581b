"""Scores of an evaluation target: one setting, a suite of task variants, or a sweep of settings.

While a target stays started it plays its task with any options and any sampling settings.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from lmrl.errors import RunError, UsageError
from lmrl.scoring.score import Score
from lmrl.trajectory import Trajectory

Scored = tuple[Score, pa.Table]
"""A score and its episodes."""


class Setting(NamedTuple):
    """How a policy samples: its temperature, and β of a value-guided one; None is its own."""

    temperature: float | None = None
    beta: float | None = None


def settings(
    temperatures: Sequence[float | None], betas: Sequence[float | None] = ()
) -> list[Setting]:
    """Return every combination."""
    return [Setting(*pair) for pair in product(temperatures, betas or [None])]


@dataclass
class ChatUsageReport:
    """What was asked of the models of an evaluation.

    Attributes:
        models: by what they are for (`oracle`: answers for the task; `model`: plays), their counts:
            those of `ChatUsage`, and `malformed`, replies that could not be read.
        names: of the models, likewise.
    """

    models: dict[str, Counter[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def count(self, what: str, name: str, usage: Mapping[str, int], malformed: int) -> None:
        """Add counts of a model."""
        self.names[what] = name
        self.models.setdefault(what, Counter()).update({**usage, "malformed": malformed})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {what: {"name": self.names[what], **n} for what, n in self.models.items()}


def malformed(episodes: Iterable[Trajectory], fact: str = "oracle_malformed") -> int:
    """Return how many replies in episodes could not be read."""
    return sum(int(episode.info.get(fact, 0)) for episode in episodes)


class EvaluationTarget(Protocol):
    """Plays a task."""

    asked: ChatUsageReport

    def score(self, options: dict[str, Any], setting: Setting, lenient: bool = False) -> Scored:
        """Return the score and the episodes, in order of their seeds.

        Args:
            options: of the task.
            setting: of the sampling.
            lenient: score what is there, however many episodes fail.

        Raises:
            UsageError: if it cannot play the task with these options.
            RunError: if too many episodes fail.
        """
        ...


def score_suite(
    contestant: EvaluationTarget, suite: Mapping[str, dict[str, Any]], setting: Setting
) -> dict[str, Scored | str]:
    """Return the score of each entry of a suite.

    The first entry has to work; of another one that cannot be played, because its texts do not fit
    the model's context for example, the reason is returned instead.

    Args:
        contestant: who plays.
        suite: options of the task by name.
        setting: of the sampling.

    Raises:
        UsageError: if the first entry cannot be played.
        RunError: if too many episodes of the first entry fail.
    """
    (first, options), *others = suite.items()
    found: dict[str, Scored | str] = {first: contestant.score(options, setting)}
    for name, changed in others:
        try:
            found[name] = contestant.score(changed, setting, lenient=True)
        except (RunError, UsageError) as error:
            found[name] = str(error)
    return found


# -- scripted players -----------------------------------------------------------------------------
