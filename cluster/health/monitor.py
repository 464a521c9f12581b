"""`ActorMonitor`: monitoring of samplers and simulators while episodes are played."""

import logging
from collections import Counter
from typing import Any

import ray

from cluster.fleet import Fleet, replace_actor
from cluster.health.heartbeat import Heartbeat
from cluster.health.waits import NoAnswer
from cluster.weights.push import LOST, gate, load_again
from lmrl.errors import RunError

log = logging.getLogger(__name__)

REPLACEMENTS = 3
"""Largest number of replacements of one actor within a job; one more stops the run."""


class ActorMonitor:
    """A monitor of samplers and simulators while episodes are played.

    Samplers that restarted without weights get the current ones. An actor that does not respond is
    replaced.

    Args:
        fleet: actors of the run.
        every: time between two polls, in seconds.
    """

    def __init__(self, fleet: Fleet, every: float = 1.0) -> None:
        self.fleet = fleet
        self.heartbeat = Heartbeat(lambda actor: actor.state.remote(), every)
        # Process id of each actor, and the time of the question that it last answered.
        self.processes: dict[Any, tuple[int, float]] = {}
        self.replaced: Counter[str] = Counter()

    def poll(self) -> None:
        """Request the state of every actor, without waiting, and process the responses.

        Raises:
            RunError: if an actor had to be replaced too often, or a sampler fails the gate twice.
        """
        fleet = self.fleet
        actors = fleet.samplers + fleet.simulators + fleet.oracles
        for actor, ref, asked in self.heartbeat.poll(actors):
            self._answered(actor, ref, asked)
        for actor, seconds in list(self.heartbeat.silent.items()):
            if seconds > self._allowed(actor):
                self._replace(actor, f"did not respond for {seconds:.0f} s")

    def _answered(self, actor: Any, ref: Any, asked: float) -> None:
        weights = self.fleet.weights
        try:
            state = ray.get(ref)
            pid, seen = self.processes.get(actor, (state["pid"], asked))
            self.processes[actor] = state["pid"], asked
            if pid != state["pid"]:  # it ended and started again between two polls
                self.fleet.lost(actor, "its process ended", seen)
            if actor not in self.fleet.samplers or weights is None:
                self.fleet.back(actor)
                return
            if asked < weights.since:
                return  # the version of before the push, or none within it
            if state["version"] != weights.version:
                self.fleet.lost(actor, "its process ended")
                load_again(self.fleet, actor)
                gate(self.fleet, [actor])
                log.warning(
                    "%s was restarted and has version %d again",
                    self.fleet.name(actor),
                    weights.version,
                )
            self.fleet.back(actor)
        except LOST:
            self.fleet.lost(actor, "its process ended", asked)  # the next poll tries again
        except NoAnswer as error:
            self._replace(actor, str(error))

    def _allowed(self, actor: Any) -> float:
        """Return how long an actor may be unresponsive, in seconds: longer while it starts."""
        placement = self.fleet.experiment.placement
        if actor in self.fleet.starting:
            return max(placement.timeout, placement.unresponsive)
        return placement.unresponsive

    def _replace(self, actor: Any, reason: str) -> None:
        name = self.fleet.name(actor)
        self.heartbeat.forget(actor)
        self.replaced[name] += 1
        if self.replaced[name] > REPLACEMENTS:
            raise RunError(f"{name} was replaced {REPLACEMENTS} times and again {reason}")
        log.warning("%s %s; replaced", name, reason)
        replace_actor(self.fleet, actor, reason)
