"""Start policies: a given checkpoint, the result of another preset, or random weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cluster.experiment import Experiment
from cluster.fields import assign
from cluster.presets.derived import preset_or_derived
from cluster.source import sample_texts
from cluster.startup.start_critic import OF_START
from learners.checkpoints.guided import make_guided
from learners.checkpoints.initial import make_start
from lmrl.errors import UsageError, option
from lmrl.runs.log import RunLog
from lmrl.runs.names import GUIDED, LAST, START, checkpoint
from lmrl.screen import Screen

SHARED = (
    "task",
    "options",
    "seed",
    "start",
    "model",
    "data",
    "sampler",
    "simulator",
    "placement",
    "push",
    "oracle",
    "rollouts.max_tokens",
    "rollouts.thought_tokens",
)
"""Fields that the training of a start policy shares with the run."""


class Start(NamedTuple):
    """What a run begins with.

    Attributes:
        path: checkpoint directory of the start policy.
        label: name of its score in the summary.
        critic: checkpoint directory whose critic is taken over; None begins with a new critic.
    """

    path: Path
    label: str
    critic: Path | None = None


def starting_point(
    exp: Experiment, folder: Path, train: Callable[..., Any], screen: Screen | None = None
) -> Start:
    """Return the start policy of a run, and its critic; make them first if they are missing.

    Args:
        exp: experiment of the run.
        folder: run directory. A start policy is made in its `start/`, and a resumed run uses it
            again.
        train: function that runs another experiment, for `exp.start`.
        screen: screen that shows that a policy is made; None shows nothing.
    """
    if exp.model.path is not None:
        source = exp.model.path if exp.start_critic == OF_START else exp.start_critic
        return Start(Path(exp.model.path), "start", None if source is None else Path(source))
    if exp.start is not None:
        return _trained(exp, folder / START, train)
    path = folder / START
    if not path.exists():
        with (screen or Screen()).stage("start_policy", "random start policy"):
            make_start(exp.model, sample_texts(exp), path, exp.seed)
    return Start(path, "start")


def served(exp: Experiment, start: Start, log: RunLog) -> Path:
    """Return the checkpoint directory with which samplers start.

    It is the start policy, or its value-guided form, which is made in the run directory.

    Args:
        exp: experiment of the run.
        start: start policy.
        log: log of the run directory.
    """
    if exp.algorithm.guidance is None:
        return start.path
    folder = log.folder / GUIDED
    if not folder.exists():
        make_guided(exp.algorithm, start.path, folder)
    return folder.resolve()


def _trained(exp: Experiment, folder: Path, train: Callable[..., Any]) -> Start:
    """Train the start policy."""
    first = start_experiment(exp)
    log = RunLog(folder)
    if not log.finished:
        # If an earlier training of the start policy was interrupted, it is continued.
        train(first, log, resume=log.holds_run)
    result = checkpoint(folder, LAST).resolve()
    critic = result if exp.start_critic == OF_START else None
    if first.algorithm.guidance is None:
        return Start(result, first.algorithm.name, critic)
    # Its values guide the policy that it started from itself.
    return starting_point(first, folder, train)._replace(critic=critic)


def start_experiment(exp: Experiment) -> Experiment:
    """Return the experiment that trains the start policy.

    It is the preset or algorithm `exp.start` with this run's task, size, seed and placement, and
    with the changes of `exp.start_fields`.

    Raises:
        UsageError: if the preset is unknown, a changed field is unknown or this run's, or the
            result cannot be trained further.
    """
    base = preset_or_derived(exp.start or "", exp.task, exp.options)
    if base.algorithm.guidance is not None and exp.start_critic != OF_START:
        raise UsageError(
            f"start is {exp.start}, whose result is a value-guided policy for sampling only; give "
            "a preset that trains the policy itself, like one of behaviour cloning, or take the "
            f"values over with {option('start_critic')} {OF_START}"
        )
    first = replace(
        base,
        task=exp.task,
        options=exp.options,
        seed=exp.seed,
        model=exp.model,
        data=replace(exp.data, batch=base.data.batch),
        sampler=exp.sampler,
        simulator=exp.simulator,
        placement=exp.placement,
        push=exp.push,
        rollouts=replace(
            base.rollouts,
            max_tokens=exp.rollouts.max_tokens,
            thought_tokens=exp.rollouts.thought_tokens,
        ),
        # This run scores its start policy itself, on its own seeds.
        evaluation=replace(base.evaluation, episodes=32, start_episodes=0, random=False),
    )
    for name in exp.start_fields:
        if name.startswith(SHARED) and name != "data.batch":
            raise UsageError(
                f"start.{name} is the same as in the run itself; give {option(name)}, which is "
                "for both"
            )
    try:
        return assign(first, exp.start_fields)
    except UsageError as error:
        raise UsageError(f"in the fields of --start: {error}") from error
