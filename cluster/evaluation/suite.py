"""Scores of an evaluation target: one setting, a suite of task variants, or a sweep of settings.

A target is started once, and then plays its task with any options and any sampling settings.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from cluster.config import EvaluationConfig
from cluster.evaluation.episode_store import EpisodeStore
from cluster.evaluation.fixed_seeds import score_table
from lmrl.errors import RunError, UsageError
from lmrl.scoring.score import Score
from lmrl.seeds import evaluation_seeds
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


def malformed(episodes: Iterable[Trajectory]) -> int:
    """Return the number of replies of a model that answers for the task which could not be read.

    Args:
        episodes: episodes in which the model replied.
    """
    return sum(int(episode.info.get("oracle_malformed", 0)) for episode in episodes)


class EvaluationTarget(Protocol):
    """A policy or player that can be evaluated."""

    asked: ChatUsageReport

    @property
    def task(self) -> str:
        """Name of the task."""
        ...

    @property
    def sizes(self) -> EvaluationConfig:
        """Number of episodes and first seed."""
        ...

    def play(
        self, options: dict[str, Any], setting: Setting, seeds: range, lenient: bool = False
    ) -> pa.Table:
        """Return episodes, in order of their seeds.

        Args:
            options: options of the task.
            setting: sampling settings.
            seeds: seeds of the episodes.
            lenient: whether to return the finished episodes, however many others fail.

        Raises:
            UsageError: if the target cannot play the task with these options.
            RunError: if too many episodes fail.
        """
        ...


def score_target(
    target: EvaluationTarget,
    options: dict[str, Any],
    setting: Setting,
    store: EpisodeStore | None = None,
    name: str = "evaluation",
    lenient: bool = False,
) -> Scored:
    """Return the score and the episodes of a target, in order of their seeds.

    Args:
        target: policy or player.
        options: options of the task.
        setting: sampling settings.
        store: store of the episodes; those that it has are not played again. None stores none.
        name: name of the episodes in the store.
        lenient: whether to score the finished episodes, however many others fail.

    Raises:
        UsageError: if the target cannot play the task with these options.
        RunError: if too many episodes fail.
    """
    seeds = evaluation_seeds(target.sizes.first_seed, target.sizes.episodes)

    def play(part: range) -> pa.Table:
        return target.play(options, setting, part, lenient)

    table = play(seeds) if store is None else store.played(name, seeds, play)
    return score_table(table, target.task, options), table


def score_suite(
    target: EvaluationTarget,
    suite: Mapping[str, dict[str, Any]],
    setting: Setting,
    store: EpisodeStore | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Scored | str]:
    """Return the score of each entry of a suite.

    The first entry has to work. If another entry cannot be played, for example because its texts do
    not fit the model's context, the reason is returned instead of a score.

    Args:
        target: policy or player.
        suite: options of the task by the name of the entry.
        setting: sampling settings.
        store: store of the episodes; see `score_target`.
        names: names in the store, by the name of the entry; None is the entry's own.

    Raises:
        UsageError: if the first entry cannot be played.
        RunError: if too many episodes of the first entry fail.
    """
    (first, options), *others = suite.items()
    names = names or {}
    found: dict[str, Scored | str] = {
        first: score_target(target, options, setting, store, names.get(first, first))
    }
    for name, changed in others:
        try:
            found[name] = score_target(
                target, changed, setting, store, names.get(name, name), lenient=True
            )
        except (RunError, UsageError) as error:
            found[name] = str(error)
    return found
