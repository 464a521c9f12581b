"""A checkpoint as an evaluation target, served by samplers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.chat.config import ChatConfig
from cluster.config import EvaluationConfig, RolloutConfig
from cluster.evaluation.fixed_seeds import play_seeds
from cluster.evaluation.suite import ChatUsageReport, Scored, Setting, malformed, score_suite
from cluster.experiment import Experiment
from cluster.fields import recorded
from cluster.fleet import Fleet
from cluster.health.waits import fetch
from cluster.startup.launch import launch
from cluster.startup.ray_session import ray_session
from learners.algorithms.offline.bc import BC
from learners.checkpoints.guided import read_guidance
from learners.checkpoints.initial import ModelConfig, context_of
from lmrl.errors import RunError, UsageError
from lmrl.schema import from_table
from lmrl.tasks import make
from lmrl.tokens.codec import Codec


def serving_experiment(
    checkpoint: Path,
    task: str,
    options: dict[str, Any],
    sizes: EvaluationConfig,
    max_tokens: int = 16,
    context: int | None = None,
    share: float = 1.0,
    oracle: ChatConfig | None = None,
) -> Experiment:
    """Return the experiment in which a checkpoint is only served.

    Args:
        checkpoint: Hugging Face checkpoint directory.
        task: name of the task.
        options: options of the task.
        sizes: number of episodes, first seed and temperature.
        max_tokens: largest number of tokens of an action.
        context: largest number of tokens of context and action together, or the model's number of
            positions if it is smaller. None is the number that the checkpoint was trained with, or
            1024 if that is not recorded.
        share: share of the resources that one such experiment takes, above 0 and at most 1.
        oracle: model that answers for the task; None is the one that the checkpoint was trained
            with, or else the task's own scripted one.

    Raises:
        UsageError: if the path is not a checkpoint, or `Experiment.check` refuses the experiment.
    """
    positions = context_of(checkpoint)
    made = recorded(checkpoint) or Experiment(task, BC(), model=ModelConfig(context=1024))
    exp = Experiment(
        task=task,
        algorithm=BC(),
        options=options,
        model=ModelConfig(
            path=str(checkpoint),
            context=min(positions, context or made.model.context),
            format=made.model.format,
            system=made.model.system,
            thinking=made.model.thinking,
        ),
        rollouts=RolloutConfig(max_tokens=max_tokens, thought_tokens=made.rollouts.thought_tokens),
        evaluation=sizes,
        sampler=replace(made.sampler, count=1),
        oracle=oracle or made.oracle,
    )
    exp.check(training=False)
    place = exp.placement
    return replace(
        exp,
        placement=replace(
            place,
            learner_cpus=0.0,
            sampler_cpus=share * place.sampler_cpus,
            sampler_gpus=share * place.sampler_gpus,
            simulator_cpus=share * place.simulator_cpus,
        ),
    )


@dataclass
class Checkpoint:
    """A checkpoint that a sampler serves.

    Attributes:
        fleet: actors that serve it. They can play the task with any options, which are those of the
            fleet's experiment.
        codec: tokenizer of the checkpoint.
        label: name of the policy, for the record.
        asked: usage of the model that answers for the task.
    """

    fleet: Fleet
    codec: Codec
    label: str
    asked: ChatUsageReport = field(default_factory=ChatUsageReport)

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.fleet.experiment.task

    @property
    def sizes(self) -> EvaluationConfig:
        """Number of episodes and first seed."""
        return self.fleet.experiment.evaluation

    def play(
        self, options: dict[str, Any], setting: Setting, seeds: range, lenient: bool = False
    ) -> pa.Table:
        """Return the episodes; see `EvaluationTarget`."""
        base = self.fleet.experiment
        sizes = base.evaluation
        if setting.temperature is not None:
            sizes = replace(sizes, temperature=setting.temperature)
        failures = 1.0 if lenient else base.failures
        exp = replace(base, options=options, evaluation=sizes, failures=failures)
        exp.check_context(self.codec, make(exp.task, **exp.options))
        before = dict(self.fleet.ledger.oracle)
        with _guided(self.fleet, setting.beta):
            fleet = replace(self.fleet, experiment=exp)
            table = play_seeds(fleet, seeds, self.label)
        usage = self.fleet.ledger.oracle
        if usage:
            episodes = from_table(table)
            new = {name: count - before.get(name, 0) for name, count in usage.items()}
            name = str(episodes[0].info["oracle"])
            self.asked.count("oracle", name, new, malformed(episodes))
        return table


@contextmanager
def _guided(fleet: Fleet, beta: float | None) -> Iterator[None]:
    """Let a value-guided policy sample with β in the block; None does not change β.

    Raises:
        RunError: if a sampler restarted in the block, since it then used the checkpoint's own β.
    """
    if beta is None:
        yield
        return
    deadline = fleet.experiment.push.deadline
    fetch([sampler.set_beta.remote(beta) for sampler in fleet.samplers], deadline, "a sampler")
    before = _processes(fleet)
    yield
    if _processes(fleet) != before:
        raise RunError(f"a sampler died while beta {beta:g} was scored; run the command again")


def _processes(fleet: Fleet) -> list[int]:
    deadline = fleet.experiment.placement.timeout
    states = fetch([s.state.remote() for s in fleet.samplers], deadline, "a sampler")
    return [state["pid"] for state in states]


@contextmanager
def checkpoint_target(
    checkpoint: Path,
    task: str,
    options: dict[str, Any],
    sizes: EvaluationConfig,
    max_tokens: int = 16,
    context: int | None = None,
    oracle: ChatConfig | None = None,
    guided: bool = False,
) -> Iterator[Checkpoint]:
    """Serve a checkpoint; Ray and the sampler start once.

    Args:
        checkpoint: Hugging Face checkpoint directory.
        task: name of the task.
        options: options of the task.
        sizes: number of episodes, first seed and temperature.
        max_tokens: largest number of tokens of an action.
        context: largest number of tokens of context and action together; see `serving_experiment`.
        oracle: model that answers for the task; None is the one that the checkpoint was trained
            with, or else the task's own scripted one.
        guided: whether β will be changed.

    Raises:
        UsageError: if the path is not a checkpoint, β will be changed and the policy has none,
            `Experiment.check` refuses the experiment, or the context is too short for the task.
    """
    exp = serving_experiment(checkpoint, task, options, sizes, max_tokens, context, oracle=oracle)
    if guided and read_guidance(checkpoint) is None:
        raise UsageError(
            f"{checkpoint} is a plain policy, so it has no beta; --beta is for value-guided ones, "
            "like those that ILQL and MC train"
        )
    codec = Codec.load(checkpoint, exp.format)
    with ray_session(), launch(exp, checkpoint.resolve(), learners=False) as fleet:
        yield Checkpoint(fleet, codec, str(checkpoint))


def score_checkpoint(
    checkpoint: Path,
    task: str,
    suite: Mapping[str, dict[str, Any]],
    sizes: EvaluationConfig,
    max_tokens: int = 16,
    context: int | None = None,
) -> dict[str, Scored | str]:
    """Return the score of a checkpoint and its episodes for each entry of a suite.

    Args:
        checkpoint: Hugging Face checkpoint directory.
        task: name of the task.
        suite: options of the task by the name of the entry; see `score_suite`.
        sizes: number of episodes, first seed and temperature.
        max_tokens: largest number of tokens of an action.
        context: largest number of tokens of context and action together; see `serving_experiment`.

    Raises:
        UsageError: if the path is not a checkpoint, `Experiment.check` refuses the experiment, or
            the context is too short for the first entry.
        RunError: if too many episodes of the first entry fail.
    """
    options = next(iter(suite.values()))
    with checkpoint_target(checkpoint, task, options, sizes, max_tokens, context) as target:
        return score_suite(target, suite, Setting())
