"""`Fleet`: the actors of a run, and what they have to hold.

Types only: `cluster.startup.launch` starts the actors.
"""

from dataclasses import dataclass, field
from typing import Any

import ray

from cluster.experiment import Experiment
from cluster.learner_group import LearnerGroup
from cluster.ledger import Ledger
from cluster.weights.parity import Fingerprint
from lmrl.trajectory import Ids


@dataclass
class Weights:
    """The version that samplers have to hold.

    Attributes:
        version: number of the version.
        buckets: references to its buckets in the object store.
        sent: what the parity gate compares the samplers with.
    """

    version: int
    buckets: list[Any]
    sent: Fingerprint


@dataclass
class Fleet:
    """The actors of a run.

    Attributes:
        experiment: what they were started for.
        samplers, simulators: actor handles.
        learners: the learner group; None when a checkpoint is only evaluated.
        probes: fixed token sequences for the parity gate.
        ledger: where the episodes went.
        weights: what the samplers have to hold; None before the first push.
        failures: called with each failed episode.
        starting: actors whose process was lost and whose next one has not answered yet.
    """

    experiment: Experiment
    samplers: list[Any]
    simulators: list[Any]
    learners: LearnerGroup | None
    probes: list[Ids]
    ledger: Ledger = field(default_factory=Ledger)
    weights: Weights | None = None
    failures: Any = None
    starting: set[Any] = field(default_factory=set)


def replace_actor(fleet: Fleet, actor: Any) -> None:
    """End an actor's process, also one that is stopped; Ray starts it again."""
    fleet.starting.add(actor)
    ray.kill(actor, no_restart=False)
