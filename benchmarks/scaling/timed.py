"""`TimedSampler`: a sampler whose engine is replaced by a timer of measured service time.

This is the one place of the project where an engine is replaced. The control plane, which is
everything but the engine, can so be measured at sizes for which a machine has too few cores.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray

from actors.engine import Running, Usage
from actors.messages import Contexts, Decoding, Replies, Request
from actors.sampler import ClientQueue, Sampler
from benchmarks.scaling.times import Times
from lmrl.episode import Reply


@dataclass
class CountedUsage(Usage):
    """Counts of an engine's work, with the number of calls of the sampler."""

    calls: int = 0


@dataclass
class TimedEngine:
    """A timer with the interface of `actors.engine.VLLMEngine`.

    A step sleeps for its service time. Actions are random tokens and have the same length.

    Attributes:
        times: service times.
        vocabulary: number of tokens to draw from.
    """

    times: Times
    vocabulary: int
    running: dict[str, Running] = field(default_factory=dict)
    usage: CountedUsage = field(default_factory=CountedUsage)
    version: int | None = 0
    open: bool = False
    due: dict[int, list[tuple[str, Reply]]] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether the engine has requests."""
        return bool(self.running)

    def submit(self, client: str, requests: Iterable[Request], decoding: Decoding) -> None:
        """Queue contexts; see `VLLMEngine.submit`."""
        for request in requests:
            name = f"{client}/{request.key}"
            rng = np.random.default_rng(request.seed)
            count = decoding.max_tokens
            reply = Reply(
                rng.integers(self.vocabulary, size=count, dtype=np.int32),
                np.zeros(count, np.float32),
                np.zeros(count, np.int32),
            )
            self.due.setdefault(self.usage.steps + count, []).append((name, reply))
            self.running[name] = Running(client, request.key)

    def step(self) -> list[tuple[Running, Reply]]:
        """Sleep for the service time of a step and return what it finished."""
        seconds = self.times.step + self.times.step_each * len(self.running)
        time.sleep(seconds)
        self.usage.steps += 1
        self.usage.busy_seconds += seconds
        ended = self.due.pop(self.usage.steps, [])
        self.usage.sampled_tokens += sum(len(reply.ids) for _, reply in ended)
        return [(self.running.pop(name), reply) for name, reply in ended]


class TimedSampler(Sampler):
    """A sampler with a timer in place of its engine.

    Args:
        times: service times.
        vocabulary: number of tokens to draw from.
    """

    engine: Any  # a `TimedEngine`

    def __init__(self, times: Times, vocabulary: int) -> None:
        # As in `Sampler`, with another engine.
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.answers: dict[str, ClientQueue] = {}
        self.postponed: list[tuple[str, Callable[[], None]]] = []
        threading.Thread(target=self._own, name="engine", daemon=True).start()

        def build() -> None:
            self.engine = TimedEngine(times, vocabulary)

        self._ask(build)

    def generate(self, client: str, contexts: Contexts, decoding: Decoding) -> Replies:
        """Count the call, and answer it; see `Sampler.generate`."""
        self.engine.usage.calls += 1
        replies: Replies = super().generate(client, contexts, decoding)
        return replies


TimedSamplerActor = ray.remote(max_concurrency=32, concurrency_groups={"health": 1})(TimedSampler)
"""`TimedSampler` as a Ray actor."""
