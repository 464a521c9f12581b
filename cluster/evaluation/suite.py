"""Scores of an evaluation target: one setting, a suite of task variants, or a sweep of settings.

A target is started once, and then plays its task with any options and any sampling settings.
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
    """Sampling settings of a policy.

    Attributes:
        temperature: sampling temperature; None is the policy's own.
        beta: weight β of the values of a value-guided policy; None is the policy's own.
    """

    temperature: float | None = None
    beta: float | None = None


def settings(
    temperatures: Sequence[float | None], betas: Sequence[float | None] = ()
) -> list[Setting]:
    """Return every combination of temperatures and values of β."""
    return [Setting(*pair) for pair in product(temperatures, betas or [None])]


@dataclass
class ChatUsageReport:
    """Usage of the models of an evaluation.

    Attributes:
        models: counts of each model by its role (`oracle`: answers for the task; `model`: plays).
            They are the fields of `ChatUsage`, and `malformed`, the number of replies that could
            not be read.
        names: names of the models by their roles.
    """

    models: dict[str, Counter[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def count(self, what: str, name: str, usage: Mapping[str, int], malformed: int) -> None:
        """Add counts of a model.

        Args:
            what: role of the model, `oracle` or `model`.
            name: name of the model.
            usage: counts to add, as the fields of `ChatUsage`.
            malformed: number of replies that could not be read.
        """
        self.names[what] = name
        self.models.setdefault(what, Counter()).update({**usage, "malformed": malformed})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {what: {"name": self.names[what], **n} for what, n in self.models.items()}


def malformed(episodes: Iterable[Trajectory], fact: str = "oracle_malformed") -> int:
    """Return the number of replies in episodes that could not be read.

    Args:
        episodes: episodes in which a model replied.
        fact: key of `Trajectory.info` that has the number.
    """
    return sum(int(episode.info.get(fact, 0)) for episode in episodes)


class EvaluationTarget(Protocol):
    """A policy or player that can be evaluated."""

    asked: ChatUsageReport

    def score(self, options: dict[str, Any], setting: Setting, lenient: bool = False) -> Scored:
        """Return the score and the episodes, in order of their seeds.

        Args:
            options: options of the task.
            setting: sampling settings.
            lenient: whether to score the finished episodes, however many others fail.

        Raises:
            UsageError: if the target cannot play the task with these options.
            RunError: if too many episodes fail.
        """
        ...


def score_suite(
    target: EvaluationTarget, suite: Mapping[str, dict[str, Any]], setting: Setting
) -> dict[str, Scored | str]:
    """Return the score of each entry of a suite.

    The first entry has to work. If another entry cannot be played, for example because its texts do
    not fit the model's context, the reason is returned instead of a score.

    Args:
        target: policy or player.
        suite: options of the task by the name of the entry.
        setting: sampling settings.

    Raises:
        UsageError: if the first entry cannot be played.
        RunError: if too many episodes of the first entry fail.
    """
    (first, options), *others = suite.items()
    found: dict[str, Scored | str] = {first: target.score(options, setting)}
    for name, changed in others:
        try:
            found[name] = target.score(changed, setting, lenient=True)
        except (RunError, UsageError) as error:
            found[name] = str(error)
    return found


# -- scripted players -----------------------------------------------------------------------------
