"""`Fleet`: the actors of a run, and the weights that its samplers have to serve.

This file has types only: `cluster.startup.launch` starts the actors.
"""

import math
import time
from collections.abc import Callable
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
        since: time from which samplers have it, on the monotonic clock, in seconds.
    """

    version: int
    buckets: list[Any]
    sent: Fingerprint
    since: float = field(default_factory=time.monotonic)


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
        oracles: handles of the samplers of a model that answers for the task.
        starting: actors whose process was lost and whose new process does not serve yet: the time
            of the loss on the monotonic clock, in seconds, and the reason.
        recovered: function that is called with role, number, reason and seconds of each recovery.
        served: time of the last recovery of each actor, on the monotonic clock, in seconds.
        screen: screen that shows the episodes of a job as they finish.
    """

    experiment: Experiment
    samplers: list[Any]
    simulators: list[Any]
    learners: LearnerGroup | None
    probes: list[Ids]
    oracles: list[Any] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    weights: Weights | None = None
    failures: Any = None
    sampler_names: list[str] = field(default_factory=list)
    screen: Screen = field(default_factory=Screen)
    starting: dict[Any, tuple[float, str]] = field(default_factory=dict)
    recovered: Callable[[str, int, str, float], None] | None = None
    served: dict[Any, float] = field(default_factory=dict)

    def place(self, actor: Any) -> tuple[str, int]:
        """Return role and number of an actor that is not a learner rank."""
        roles = {
            "sampler": self.samplers,
            "simulator": self.simulators,
            "oracle": self.oracles,
        }
        return next((role, all_.index(actor)) for role, all_ in roles.items() if actor in all_)

    def name(self, actor: Any) -> str:
        """Return the name of an actor for messages, such as `sampler 0`."""
        role, number = self.place(actor)
        return f"{role} {number}"

    def lost(self, actor: Any, reason: str, seen: float = math.inf) -> None:
        """Note that the process of an actor is lost; the first reason stays until it is back.

        Args:
            actor: actor that is lost.
            reason: reason, for the record.
            seen: time to which the news belongs, on the monotonic clock, in seconds. If the actor
                has recovered since, it is a loss that was noted already.
        """
        if seen >= self.served.get(actor, -math.inf):
            self.starting.setdefault(actor, (time.monotonic(), reason))

    def back(self, actor: Any) -> None:
        """Note that an actor serves; report how long it did not, if its process was lost."""
        if actor in self.starting:
            since, reason = self.starting.pop(actor)
            self.served[actor] = time.monotonic()
            if self.recovered is not None:
                self.recovered(*self.place(actor), reason, time.monotonic() - since)


def replace_actor(fleet: Fleet, actor: Any, reason: str) -> None:
    """Kill an actor's process, even if it is suspended; Ray restarts it.

    Args:
        fleet: actors of the run.
        actor: actor to replace.
        reason: reason, for the record.
    """
    fleet.lost(actor, reason)
    ray.kill(actor, no_restart=False)
