"""Score a checkpoint, a scripted player or a prompted model without training: what `lmrl evaluate`
runs.

Each of them is an `EvaluationTarget`: while it stays started it plays its task with any options and
any sampling settings. Suites and sweeps are loops over these.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from actors.chat.config import ChatConfig
from actors.chat.model import RetryingChatModel
from actors.prompted import Prompted, examples
from cluster import oracle as answering
from cluster.evaluation.fixed_seeds import evaluate
from cluster.experiment import EvaluationConfig, Experiment, RolloutConfig
from cluster.fields import recorded
from cluster.launch import Fleet, check_context, launch, ray_session
from cluster.waits import fetch
from learners.algorithms.bc import BC
from learners.checkpoints.guided import read_guidance
from learners.checkpoints.initial import ModelConfig, context_of
from learners.rerank import Reranker, move_accuracy
from learners.rerank import Score as RerankScore
from lmrl.codec import Codec
from lmrl.errors import RunError, UsageError, unknown
from lmrl.rollout import ContextTooLong, Episode, play, rollout
from lmrl.schema import from_table, to_table
from lmrl.scoring.score import Score, score
from lmrl.tasks import make
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


# -- checkpoints ----------------------------------------------------------------------------------


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
        checkpoint: a Hugging Face checkpoint directory.
        task: name.
        options: of the task.
        sizes: episodes, first seed and temperature.
        max_tokens: longest action.
        context: most tokens of context and action; less if the model has fewer positions. None is
            what the checkpoint was trained with, or 1024 where that is not known.
        share: of the resources that one such experiment takes by itself.
        oracle: the model that answers for the task; None is the one that the checkpoint was trained
            with, or the task's own scripted one.

    Raises:
        UsageError: for a checkpoint that is none, or what `Experiment.check` refuses.
    """
    positions = context_of(checkpoint)
    made = recorded(checkpoint) or Experiment(task, BC(), model=ModelConfig(context=1024))
    exp = Experiment(
        task=task,
        algorithm=BC(),
        options=options,
        model=ModelConfig(
            path=str(checkpoint), context=min(positions, context or made.model.context)
        ),
        rollouts=RolloutConfig(max_tokens=max_tokens),
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
        house: its actors. They serve any options of the task: what is played follows from the
            experiment.
        codec: of the checkpoint.
        label: for the record.
    """

    fleet: Fleet
    codec: Codec
    label: str
    asked: ChatUsageReport = field(default_factory=ChatUsageReport)

    def score(self, options: dict[str, Any], setting: Setting, lenient: bool = False) -> Scored:
        """Return the score and the episodes; see `EvaluationTarget`."""
        base = self.fleet.experiment
        sizes = base.evaluation
        if setting.temperature is not None:
            sizes = replace(sizes, temperature=setting.temperature)
        failures = 1.0 if lenient else base.failures
        exp = replace(base, options=options, evaluation=sizes, failures=failures)
        check_context(exp, self.codec)
        before = dict(self.fleet.ledger.oracle)
        with _guided(self.fleet, setting.beta):
            fleet = replace(self.fleet, experiment=exp)
            found, table = evaluate(fleet, sizes.episodes, self.label)
        usage = self.fleet.ledger.oracle
        if usage:
            episodes = from_table(table)
            new = {name: count - before.get(name, 0) for name, count in usage.items()}
            name = str(episodes[0].info["oracle"])
            self.asked.count("oracle", name, new, malformed(episodes))
        return found, table


@contextmanager
def _guided(fleet: Fleet, beta: float | None) -> Iterator[None]:
    """Let a value-guided policy sample with β; None leaves it as it is.

    Raises:
        RunError: if a sampler restarted in the block: it came back with the checkpoint's own β.
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
        checkpoint: a Hugging Face checkpoint directory.
        task: name.
        options: of the task.
        sizes: episodes, first seed and temperature.
        max_tokens: longest action.
        context: most tokens of context and action; less if the model has fewer positions. None is
            what the checkpoint was trained with, or 1024 where that is not known.
        oracle: the model that answers for the task; None is the task's own scripted one.
        guided: whether β is to be changed.

    Raises:
        UsageError: for a checkpoint that is none, or has no β that could be changed, what
            `Experiment.check` refuses, or a context that is too short for the task.
    """
    exp = serving_experiment(checkpoint, task, options, sizes, max_tokens, context, oracle=oracle)
    if guided and read_guidance(checkpoint) is None:
        raise UsageError(
            f"{checkpoint} is a plain policy, so it has no beta; --beta is for value-guided ones, "
            "such as ILQL and MC train"
        )
    codec = Codec.load(checkpoint)
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
        checkpoint: a Hugging Face checkpoint directory.
        task: name.
        suite: options of the task by name; see `score_suite`.
        sizes: episodes, first seed and temperature.
        max_tokens: longest action.
        context: most tokens of context and action; less if the model has fewer positions. None is
            what the checkpoint was trained with, or 1024 where that is not known.

    Raises:
        UsageError: for a checkpoint that is none, what `Experiment.check` refuses, or a context
            that is too short for the first entry.
        RunError: if too many episodes of the first entry fail.
    """
    options = next(iter(suite.values()))
    with checkpoint_target(checkpoint, task, options, sizes, max_tokens, context) as contestant:
        return score_suite(contestant, suite, Setting())


# -- scripted players -----------------------------------------------------------------------------


def _seeds(sizes: EvaluationConfig) -> range:
    return range(sizes.first_seed, sizes.first_seed + sizes.episodes)


@contextmanager
def answering_model(
    config: ChatConfig | None, task: str, options: Mapping[str, Any]
) -> Iterator[RetryingChatModel | None]:
    """Yield the model that answers for a task; Ray starts if we serve it ourselves.

    Args:
        config: of the model; None yields None.
        task: name.
        options: of the task.

    Raises:
        UsageError: if it cannot answer for the task.
    """
    if config is None:
        yield None
        return
    answering.check_oracle(config, make(task, **options), task)
    with ExitStack() as stack:
        if config.served:
            stack.enter_context(ray_session())
        yield stack.enter_context(answering.serving_oracle(config))


def count_oracle(
    asked: ChatUsageReport, oracle: RetryingChatModel | None, episodes: Iterable[Trajectory]
) -> None:
    """Count what was asked of the model that answers for the task, if one does."""
    if oracle is not None:
        usage = asdict(oracle.take_usage())
        asked.count("oracle", oracle.name, usage, malformed(episodes))


@dataclass
class Player:
    """A scripted player of the task.

    Attributes:
        player: name.
        task: name.
        sizes: episodes and first seed.
        oracle: the model that answers for the task; None is the task's own scripted one.
    """

    player: str
    task: str
    sizes: EvaluationConfig
    oracle: RetryingChatModel | None = None
    asked: ChatUsageReport = field(default_factory=ChatUsageReport)

    def score(self, options: dict[str, Any], setting: Setting, lenient: bool = False) -> Scored:
        """Return the score and the episodes; see `EvaluationTarget`."""
        env = make(self.task, **options)
        seeds = _seeds(self.sizes)
        if self.oracle is None:
            played = [play(env, self.player, seed, self.task, options) for seed in seeds]
        else:
            played = list(answering.scripted(self.oracle, self.task, options, self.player, seeds))
        count_oracle(self.asked, self.oracle, played)
        return score(played, env.score_range), to_table(played)


@contextmanager
def scripted_target(
    player: str,
    task: str,
    options: Mapping[str, Any],
    sizes: EvaluationConfig,
    oracle: ChatConfig | None = None,
) -> Iterator[Player]:
    """Make a scripted player ready, without Ray unless it serves the oracle.

    Args:
        player: name.
        task: name.
        options: of the task.
        sizes: episodes and first seed.
        oracle: the model that answers for the task; None is the task's own scripted one.

    Raises:
        UsageError: if the task or the player is unknown, or the oracle cannot answer for it.
    """
    players = make(task, **options).players
    if player not in players:
        raise unknown("player", player, players)
    with answering_model(oracle, task, options) as model:
        yield Player(player, task, sizes, model)


def score_player(
    player: str, task: str, suite: Mapping[str, dict[str, Any]], sizes: EvaluationConfig
) -> dict[str, Scored | str]:
    """Return the scores of a scripted player for each entry of a suite, without Ray.

    Raises:
        UsageError: if the task or the player is unknown.
    """
    with scripted_target(player, task, next(iter(suite.values())), sizes) as contestant:
        return score_suite(contestant, suite, Setting())


def score_reranked(
    checkpoint: Path,
    task: str,
    options: dict[str, Any],
    how: RerankScore,
    seeds: range,
    greedy: bool,
) -> tuple[tuple[Score, pa.Table], float | None]:
    """Return score and episodes of a checkpoint that chooses among the task's actions, and in the
    fully observed maze its move accuracy.

    Args:
        checkpoint: plain or value-guided.
        task: name; it needs a finite set of actions.
        options: of the task.
        how: Q values of an action's tokens become its score.
        seeds: of the episodes.
        greedy: whether the best action is taken, or one is drawn from the softmax of the scores.

    Raises:
        UsageError: if the task has no finite set of actions, or the checkpoint cannot be read.
    """
    env = make(task, **options)
    policy = Reranker(checkpoint, env.actions, how, greedy)
    room = context_of(checkpoint) - max(len(action) for action in policy.actions)
    played = [
        rollout(Episode(env, seed, policy.codec, room, task, options), policy, f"rerank {how}")
        for seed in seeds
    ]
    accuracy = move_accuracy(policy) if (task, options) == ("maze-fo", {}) else None
    return (score(played, env.score_range), to_table(played)), accuracy


def answered_episodes(
    config: ChatConfig,
    task: str,
    options: dict[str, Any],
    player: str,
    seeds: Iterable[int],
    asked: ChatUsageReport,
) -> Iterator[Trajectory]:
    """Yield episodes of a scripted player in which a model answers, in order of their seeds.

    Args:
        config: of the model.
        task: name.
        options: of the task.
        player: name.
        seeds: of the episodes.
        asked: what was asked of the model is counted there.

    Raises:
        UsageError: at once, if the model cannot answer for the task.
    """
    answering.check_oracle(config, make(task, **options), task)

    def made() -> Iterator[Trajectory]:
        with answering_model(config, task, options) as model:
            assert model is not None
            for episode in answering.scripted(model, task, options, player, seeds):
                count_oracle(asked, model, [episode])
                yield episode

    return made()


# -- prompted models ------------------------------------------------------------------------------


@dataclass
class PromptedModel:
    """An instruct model that plays.

    Attributes:
        at: makes the model of a temperature.
        config: of the model.
        task: name.
        sizes: episodes and first seed.
        shots: example episodes in its prompt.
        data: where these are taken from; None lets the optimal player make them.
        oracle: the model that answers for the task; None is the task's own scripted one.
    """

    at: Callable[[float], RetryingChatModel]
    config: ChatConfig
    task: str
    sizes: EvaluationConfig
    shots: int
    data: Path | None
    oracle: RetryingChatModel | None = None
    asked: ChatUsageReport = field(default_factory=ChatUsageReport)

    def score(self, options: dict[str, Any], setting: Setting, lenient: bool = False) -> Scored:
        """Return the score and the episodes; see `EvaluationTarget`."""
        seeds = _seeds(self.sizes)
        shots = examples(self.task, options, self.shots, self.data, seeds)
        temperature = setting.temperature
        model = self.at(self.config.temperature if temperature is None else temperature)
        policy = Prompted(model, shots)

        def one(seed: int) -> Trajectory:
            env = answering.answered(self.task, options, self.oracle)
            return policy.play(env, seed, self.task, options)

        try:
            with ThreadPoolExecutor(self.config.at_once) as threads:
                played = list(threads.map(one, seeds))
        except ContextTooLong as error:
            raise UsageError(str(error)) from error
        usage = asdict(model.take_usage())
        self.asked.count("model", model.name, usage, malformed(played, "malformed"))
        count_oracle(self.asked, self.oracle, played)
        return score(played, make(self.task, **options).score_range), to_table(played)


@contextmanager
def prompted_target(
    config: ChatConfig,
    task: str,
    options: Mapping[str, Any],
    sizes: EvaluationConfig,
    shots: int = 0,
    data: Path | None = None,
    oracle: ChatConfig | None = None,
) -> Iterator[PromptedModel]:
    """Make an instruct model ready to play; Ray starts if we serve a model ourselves.

    Args:
        config: of the model.
        task: name.
        options: of the task.
        sizes: episodes and first seed.
        shots: example episodes in its prompt.
        data: where these are taken from; None lets the task's optimal player make them.
        oracle: the model that answers for the task; None is the task's own scripted one.

    Raises:
        UsageError: if the task is unknown, a model is none, the oracle cannot answer for the task,
            or there are not as many examples.
    """
    make(task, **options)
    if shots < 0:
        raise UsageError(f"--shots is {shots}; give 0 or more")
    answering.check_model(config, "model")
    examples(task, options, shots, data, _seeds(sizes))  # what is missing is told before Ray starts
    with ExitStack() as stack:
        if config.served:
            stack.enter_context(ray_session())
        model = stack.enter_context(answering_model(oracle, task, options))
        at = stack.enter_context(answering.serving_oracle_at(config))
        yield PromptedModel(at, config, task, sizes, shots, data, model)
