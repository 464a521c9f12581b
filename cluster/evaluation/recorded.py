"""A checkpoint scored as in the run that made it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cluster.config import EvaluationConfig, RolloutConfig
from cluster.fields import recorded
from learners.checkpoints.initial import context_of
from lmrl.errors import UsageError
from lmrl.runs.names import LAST, MARKER, checkpoint
from lmrl.scoring.score import Score


class RecordedSettings(NamedTuple):
    """Settings of the scores of the run that made a checkpoint.

    Attributes:
        task: name of the task.
        options: options of the task.
        episodes: number of episodes.
        first_seed: seed of the first episode.
        temperature: sampling temperature.
        max_tokens: largest number of tokens of an action.
    """

    task: str
    options: dict[str, Any]
    episodes: int
    first_seed: int
    temperature: float
    max_tokens: int


def policy_folder(given: Path) -> Path:
    """Return a checkpoint directory: the one given, or the last one of a run directory."""
    return checkpoint(given, LAST) if (given / MARKER).is_file() else given


def recorded_settings(folder: Path, task: str | None) -> RecordedSettings | None:
    """Return the settings of the run that made a checkpoint; None if they are not recorded.

    Args:
        folder: checkpoint directory.
        task: name of the task that was asked for; None asks for the recorded one.

    Raises:
        UsageError: if the checkpoint was trained on another task.
    """
    made = recorded(folder)
    if made is None:
        return None
    if task not in (None, made.task):
        raise UsageError(
            f"{folder} was trained on {made.task}, and the task given is {task}; leave it out, or "
            "give a checkpoint of that task"
        )
    sizes = made.evaluation
    return RecordedSettings(
        made.task,
        made.options,
        sizes.episodes,
        sizes.first_seed,
        sizes.temperature,
        made.rollouts.max_tokens,
    )


def score_recorded(
    policy: Path,
    task: str | None = None,
    options: Mapping[str, Any] | None = None,
    **given: int | float | None,
) -> Score:
    """Return the score of a checkpoint, as in its own run where a setting is not given.

    Args:
        policy: checkpoint directory, or a run directory for its last checkpoint.
        task: name of the task.
        options: options of the task, which change those of the run.
        given: `episodes`, `first_seed`, `temperature` and `max_tokens`; None is that of the run.

    Raises:
        UsageError: if the path is not a checkpoint, was trained on another task, or the experiment
            is refused.
    """
    from cluster.evaluation.checkpoint import score_checkpoint

    folder = policy_folder(policy)
    context_of(folder)  # refuses what is not a checkpoint
    base = recorded_settings(folder, task)
    if base is None:
        if task is None:
            raise UsageError(f"give a task; nothing records which one {folder} plays")
        sizes, tokens = EvaluationConfig(), RolloutConfig().max_tokens
        base = RecordedSettings(
            task, {}, sizes.episodes, sizes.first_seed, sizes.temperature, tokens
        )
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    settings = base._replace(**changes)
    if settings.episodes < 1:
        raise UsageError(f"episodes is {settings.episodes}; give 1 or more")
    sizes = EvaluationConfig(
        settings.episodes, first_seed=settings.first_seed, temperature=settings.temperature
    )
    suite = {"standard": {**settings.options, **(options or {})}}
    found = score_checkpoint(folder, settings.task, suite, sizes, settings.max_tokens)
    scored = found["standard"]
    assert not isinstance(scored, str)  # the first entry of a suite raises instead
    return scored[0]
