"""Experiments for tasks without a preset: an algorithm, and defaults derived from the task."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from actors.config import SamplerConfig
from cluster.config import DataConfig, EvaluationConfig, RolloutConfig
from cluster.experiment import Experiment
from cluster.presets import known as known_presets
from cluster.presets import preset
from cluster.startup.start_critic import OF_START
from learners.algorithms import registry
from learners.algorithms.base import Algorithm, TaskFacts
from learners.checkpoints.initial import ModelConfig
from learners.config import LearnerConfig, OptimiserConfig
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.errors import unknown
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

CLONING = "bc"
"""Algorithm that needs no start policy."""

PLAYERS = ("mixture", "optimal", "random")
"""Players that make the data, the first one that the task has."""

EPISODES = 40
"""Number of episodes whose texts give the sizes of context and action."""

UNKNOWN_SIZES = 64, 1024
"""Largest numbers of tokens of an action, and of context and action together, for a task without
scripted players, whose texts are not known before it is played."""

LONGEST_CONTEXT, ROUND = 2048, 32
"""Largest derived context, and the number of which it is a multiple, in tokens."""


def derived(name: str, task: str, options: Mapping[str, Any]) -> Experiment:
    """Return an experiment of an algorithm on a task.

    The task's score, rewards and horizon give the range of values, and its scripted players' texts
    the sizes of context and action. An algorithm other than cloning starts from the result of the
    one that it follows, which is cloning for most.

    Args:
        name: name of the algorithm, or `module:Class`.
        task: name of the task, or `module:Class`.
        options: options of the task.

    Raises:
        UsageError: if the algorithm or the task is unknown.
    """
    kind = registry.algorithm_class(name)
    env = make(task, **options)
    players = [player for player in PLAYERS if player in getattr(env, "players", {})]
    action, context = sizes(task, options, players) if players else UNKNOWN_SIZES
    algorithm = kind.for_task(facts(env))
    cloning = name == CLONING
    return Experiment(
        task=task,
        algorithm=algorithm,
        options=dict(options),
        updates=_updates(algorithm),
        start=kind.follows if players and not cloning else None,
        start_critic=OF_START if players and kind.needs_critic else None,
        save_every=0 if cloning else max(_updates(algorithm) // 4, 1),
        model=ModelConfig(context=context, width=128, heads=4, vocabulary=512),
        data=DataConfig(player=players[0] if players else DataConfig.player, batch=32),
        rollouts=RolloutConfig(max_tokens=action),
        evaluation=EvaluationConfig(random="random" in players),
        sampler=SamplerConfig(threads=1),
        learner=LearnerConfig(
            threads=1,
            # Online the critic has to be ahead of the policy. Before it knows that late turns cost
            # less, the policy learns to make episodes longer.
            optimiser=OptimiserConfig(lr=0.0002, head_lr=0.003, warmup=20, decay="linear")
            if algorithm.on_policy
            else OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
            windows="exact" if algorithm.on_policy else "strided",
        ),
    )


def _updates(algorithm: Algorithm) -> int:
    return 30 if algorithm.on_policy else 400


def facts(env: TextEnv) -> TaskFacts:
    """Return what the defaults of algorithms are made of."""
    return TaskFacts(env.max_turns, *env.reward_range, *env.score_range)


def sizes(task: str, options: Mapping[str, Any], players: Iterable[str]) -> tuple[int, int]:
    """Return the largest numbers of tokens of an action, and of context and action together.

    They are measured in bytes: no text has more tokens than bytes, whatever the tokenizer is. A
    context that would be longer than `LONGEST_CONTEXT` loses its oldest texts.

    Args:
        task: name of the task.
        options: options of the task.
        players: scripted players whose episodes are measured.
    """
    env = make(task, **options)
    action = context = 1
    for player in players:
        for seed in range(EPISODES):
            episode = play(env, player, seed, task, options)
            action = max([action, *(len(turn.action.encode()) for turn in episode.turns)])
            context = max([context, *_contexts(episode)])
    longest = max(min(context + action, LONGEST_CONTEXT), action + ROUND)
    return action, -(-longest // ROUND) * ROUND


def _contexts(episode: Trajectory) -> Iterator[int]:
    """Yield the number of bytes of the context of each turn."""
    lengths: list[int] = []
    for turn in episode.turns:
        lengths.append(len(turn.observation.encode()))
        yield sum(lengths[len(lengths) - turn.span :])
        lengths.append(len(turn.action.encode()))


def preset_or_derived(name: str, task: str, options: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a preset, or of an algorithm on a task.

    Args:
        name: name of a preset or algorithm, or `module:Class` of an algorithm.
        task: name of the task; a preset has its own.
        options: options of the task.

    Raises:
        UsageError: if there is neither a preset nor an algorithm of this name.
    """
    if name in known_presets():
        return preset(name)
    if name in registry.known() or ":" in name:
        return derived(name, task, options)
    raise unknown("preset or algorithm", name, [*known_presets(), *registry.known()])
