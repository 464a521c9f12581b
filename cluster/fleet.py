"""`Fleet`: the actors of a run, and the weights that its samplers have to serve.

This file has types only: `cluster.startup.launch` starts the actors.
"""

from dataclasses import dataclass, field
from typing import Any

import ray

from cluster.experiment import Experiment
from cluster.learner_group import LearnerGroup
from cluster.ledger import Ledger
from cluster.weights.parity import Fingerprint
from lmrl.screen import Screen
from lmrl.trajectory import Ids


@dataclass
class Weights:
    """The weight version that samplers have to serve.

    Attributes:
        version: number of the version.
        buckets: references to its buckets in the object store.
        sent: log-probabilities and checksums of the learner, which the parity gate compares with
            those of the samplers.
    """

    version: int
    buckets: list[Any]
    sent: Fingerprint


@dataclass
class Fleet:
    """The actors of a run.

    Attributes:
        experiment: experiment of the run.
        samplers, simulators: actor handles.
        sampler_names: names under which Ray finds the samplers.
        learners: learner group; None if a checkpoint is only evaluated.
        probes: fixed token sequences for the parity gate.
        ledger: counts of the run's episodes.
        weights: weight version that the samplers have to serve; None before the first push.
        failures: function that is called with each failed episode; None calls none.
        starting: actors whose process was lost and whose new process has not responded yet.
        screen: screen that shows the episodes of a job as they finish.
    """

    experiment: Experiment
    samplers: list[Any]
    simulators: list[Any]
    learners: LearnerGroup | None
    probes: list[Ids]
    ledger: Ledger = field(default_factory=Ledger)
    weights: Weights | None = None
    failures: Any = None
    sampler_names: list[str] = field(default_factory=list)
    screen: Screen = field(default_factory=Screen)
    starting: set[Any] = field(default_factory=set)


def replace_actor(fleet: Fleet, actor: Any) -> None:
    """Kill an actor's process, even if it is suspended; Ray restarts it."""
    fleet.starting.add(actor)
    ray.kill(actor, no_restart=False)
