"""`Heartbeat`: how long each of some actors has not responded."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ray


class Heartbeat:
    """Questions to some actors, and the time for which each of them has not answered.

    Args:
        ask: function that asks an actor, without waiting, and returns the reference of the answer.
        every: time between two polls, in seconds.

    Attributes:
        silent: time since each actor was asked, in seconds; those that have answered are left out.
    """

    def __init__(self, ask: Callable[[Any], Any], every: float = 1.0) -> None:
        self.ask, self.every = ask, every
        self.silent: dict[Any, float] = {}
        self._asked: dict[Any, tuple[Any, float]] = {}
        self._polled = time.monotonic()

    def poll(self, actors: Iterable[Any]) -> Iterator[tuple[Any, Any, float]]:
        """Ask every actor that has no open question, and yield those that have answered.

        Nothing happens before `every` seconds have passed since the last poll.

        Args:
            actors: actors to ask.

        Yields:
            An actor, the reference of its answer, whose value may be an error, and the time of the
            question on the monotonic clock, in seconds.
        """
        now = time.monotonic()
        if now - self._polled < self.every:
            return
        # The time that this process was suspended or busy does not count against the actors.
        passed = min(now - self._polled, 2 * self.every)
        self._polled = now
        for actor in actors:
            if actor not in self._asked:
                self._asked[actor] = self.ask(actor), now
                self.silent[actor] = 0.0
        refs = [ref for ref, _ in self._asked.values()]
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        answered = set(ready)
        for actor, (ref, asked) in list(self._asked.items()):
            if ref in answered:
                self.forget(actor)
                yield actor, ref, asked
            else:
                self.silent[actor] += passed

    def forget(self, actor: Any) -> None:
        """Drop the open question of an actor, which is asked again at the next poll."""
        self._asked.pop(actor, None)
        self.silent.pop(actor, None)
