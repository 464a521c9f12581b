"""The phases of a run: its plan, and the block that shows, times and records one."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.experiment import Experiment
from cluster.startup.start_policy import start_experiment
from lmrl.runs.log import RunLog
from lmrl.screen import Screen
from lmrl.screen.stages import Stage

EPISODE, ACTORS, PUSH, DATA, POLICY, RAY = 0.1, 20.0, 2.0, 3.0, 3.0, 5.0
"""Seconds that a phase takes on a laptop with a tiny model, until one was timed: an evaluation
episode, all actors, a push, a data set, a start policy of random weights, Ray."""


def planned(exp: Experiment, role: str = "") -> list[Stage]:
    """Return the stages of a run, with those of its start policy.

    Args:
        exp: experiment of the run.
        role: what the run's policy is for, in words.
    """
    name = f"{exp.algorithm.name}{role}"
    stages: list[Stage] = []
    if exp.model.path is None:
        if exp.start is None:
            stages.append(Stage("start_policy", "random start policy", 1, POLICY))
        else:
            stages += planned(start_experiment(exp), " (start policy)")
    if exp.data.path is None and (not exp.algorithm.on_policy or exp.algorithm.replay > 0):
        count = exp.data.episodes
        stages.append(Stage("data", "data set", count, DATA / count))
    count = actors(exp)
    stages.append(Stage("launch", "actors", count, ACTORS / count, together=True))
    stages.append(Stage("push", "first push", 1, PUSH))
    sizes = exp.evaluation
    starting = sizes.episodes if sizes.start_episodes is None else sizes.start_episodes
    scores = [sizes.episodes] * sizes.random + [starting] * (starting > 0)
    stages += [Stage("evaluate", "score", episodes, EPISODE) for episodes in scores]
    stages.append(Stage(f"{name} updates", name, exp.updates))
    stages.append(Stage("evaluate", "score", sizes.episodes, EPISODE))
    return stages


def actors(exp: Experiment) -> int:
    """Return the number of actors of a run."""
    served = exp.oracle.sampler.count if exp.oracle.served else 0
    return exp.learner.ranks + exp.sampler.count + exp.simulator.count + served


@contextmanager
def phase(
    screen: Screen, log: RunLog, kind: str, title: str, waiting: str = "", total: int = 1
) -> Iterator[Stage]:
    """Show a phase on the screen, add its time to the log, and name it in the status file.

    Args:
        screen: screen of the run.
        log: log of the run directory.
        kind: kind of the phase, which is its name in the log's seconds.
        title: name for a reader.
        waiting: what the run waits for, in words.
        total: number of steps.
    """
    log.status(phase=title)
    with log.phase(kind), screen.stage(kind, title, waiting, total) as stage:
        yield stage
