"""`ActorMonitor`: monitoring of samplers and simulators while episodes are played."""

import logging
import time
from collections import Counter
from typing import Any

import ray

from cluster.fleet import Fleet, replace_actor
from cluster.waits import NoAnswer
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
        self.fleet, self.every = fleet, every
        self.polled = time.monotonic()
        self.asked: dict[Any, Any] = {}
        self.silent: dict[Any, float] = {}
        self.replaced: Counter[str] = Counter()

    def poll(self) -> None:
        """Request the state of every actor, without waiting, and process the responses.

        Raises:
            RunError: if an actor had to be replaced too often, or a sampler fails the gate twice.
        """
        now = time.monotonic()
        if now - self.polled < self.every:
            return
        # The time that this process was suspended or busy does not count against the actors.
        passed = min(now - self.polled, 2 * self.every)
        self.polled = now
        for actor in self.fleet.samplers + self.fleet.simulators:
            if actor not in self.asked:
                self.asked[actor] = actor.state.remote()
                self.silent[actor] = 0.0
        ready, _ = ray.wait(list(self.asked.values()), num_returns=len(self.asked), timeout=0)
        for actor, ref in list(self.asked.items()):
            if ref in ready:
                del self.asked[actor]
                self._answered(actor, ref)
                continue
            self.silent[actor] += passed
            if self.silent[actor] > self._allowed(actor):
                self._replace(actor, f"did not respond for {self.silent[actor]:.0f} s")

    def _answered(self, actor: Any, ref: Any) -> None:
        weights = self.fleet.weights
        try:
            state = ray.get(ref)
            self.fleet.starting.discard(actor)
            if weights is None or actor not in self.fleet.samplers:
                return
            if state["version"] != weights.version:
                load_again(self.fleet, actor)
                gate(self.fleet, [actor])
                log.warning(
                    "%s was restarted and has version %d again",
                    self._name(actor),
                    weights.version,
                )
        except LOST:
            self.fleet.starting.add(actor)  # dead or restarting: the next poll tries again
        except NoAnswer as error:
            self._replace(actor, str(error))

    def _allowed(self, actor: Any) -> float:
        """Return how long an actor may be unresponsive, in seconds: longer while it starts."""
        placement = self.fleet.experiment.placement
        if actor in self.fleet.starting:
            return max(placement.timeout, placement.unresponsive)
        return placement.unresponsive

    def _replace(self, actor: Any, reason: str) -> None:
        name = self._name(actor)
        self.asked.pop(actor, None)
        self.replaced[name] += 1
        if self.replaced[name] > REPLACEMENTS:
            raise RunError(f"{name} was replaced {REPLACEMENTS} times and again {reason}")
        log.warning("%s %s; replaced", name, reason)
        replace_actor(self.fleet, actor)

    def _name(self, actor: Any) -> str:
        if actor in self.fleet.samplers:
            return f"sampler {self.fleet.samplers.index(actor)}"
        return f"simulator {self.fleet.simulators.index(actor)}"
