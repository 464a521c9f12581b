"""`Sampler`, the Ray actor around a vLLM engine. It samples only with a complete weight version.

One thread owns the engine. All other threads put messages into its queue, and it reads them between
two engine steps. `generate` submits contexts and returns as soon as some of the caller's replies
are ready. So a long reply never delays short ones, and requests of several simulators share the
engine's batches. A weight update is a message too: it takes place between two steps, and no episode
has to end for it.

A sampler that was restarted, or whose update did not finish, has no version. It refuses to sample
until the coordinator has pushed the current version.
"""

import os
import queue
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import ray
from numpy.typing import NDArray

from actors.config import SamplerConfig
from actors.engine import VLLMEngine
from actors.messages import Contexts, Decoding, EngineFailed, Replies, SamplerStale
from learners.memory import peak_memory
from lmrl.episode import Reply
from lmrl.trajectory import Ids

T = TypeVar("T")

EXIT_DELAY = 1.0
"""Time between the report of an engine's failure and the end of its process, in seconds. Without it
the report might not be delivered."""

LINGER = 0.004
"""Time that the engine waits for contexts when most of its batch has just finished, in seconds."""


@dataclass
class ClientQueue:
    """Replies of one client.

    Attributes:
        ready: pairs of key and reply that are finished.
        pending: number of requests without a delivered reply.
        waiter: result of the client's call that waits; None if no call waits.
    """

    ready: list[tuple[int, Reply]] = field(default_factory=list)
    pending: int = 0
    waiter: "Future[Replies] | None" = None

    def flush(self) -> None:
        """Finish the call that waits, if replies are ready or none are pending."""
        if self.waiter is not None and (self.ready or not self.pending):
            waiter, ready = self.waiter, self.ready
            self.waiter, self.ready = None, []
            self.pending -= len(ready)
            waiter.set_result(Replies.pack(ready))


class Sampler:
    """A policy sampler.

    Args:
        checkpoint: Hugging Face checkpoint directory, from which the architecture is read.
        config: settings of the engine.
        context: largest number of tokens of context and action together.
        stop_ids: ids of the tokens that end an action.
        device: `cpu` or `cuda`.
        trust: version under which the checkpoint's own weights are served without a push, for the
            evaluation of a checkpoint; a restart serves the same weights again. None serves nothing
            until the first push.
    """

    def __init__(
        self,
        checkpoint: str,
        config: SamplerConfig,
        context: int,
        stop_ids: list[int],
        device: str,
        trust: int | None = None,
    ) -> None:
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.answers: dict[str, ClientQueue] = {}
        # Contexts that came while an update was open: their client, and what submits them.
        self.postponed: list[tuple[str, Callable[[], None]]] = []
        threading.Thread(target=self._own, name="engine", daemon=True).start()

        def build() -> None:
            # In the engine's own thread: vLLM pins the OpenMP team of the thread that builds it.
            # The team of another thread would then run on the first core of that team only.
            self.engine = VLLMEngine(checkpoint, config, context, stop_ids, device)
            if trust is not None:
                self.engine.serve(trust)

        self._ask(build)

    def _own(self) -> None:
        """Serve for ever. If the engine raises, report the error to waiting calls and end the
        process: in an actor without an engine, every later call would wait for ever."""
        try:
            self._serve()
        except BaseException as error:
            traceback.print_exc()
            failure = EngineFailed(f"the engine raised {type(error).__name__}: {error}")
            for answers in self.answers.values():
                if answers.waiter is not None:
                    answers.waiter.set_exception(failure)
            time.sleep(EXIT_DELAY)
            os._exit(1)

    def _serve(self) -> None:
        """Read messages, step the engine, and deliver replies; runs in the engine's own thread."""
        self.inbox.get()()
        finished = 0
        while True:
            idle = not self.engine.busy or self.engine.version is None
            if idle:
                self.inbox.get()()
            elif finished > len(self.engine.running):
                # Most of the batch has just finished, and its next contexts will arrive soon. A
                # step for the few remaining requests would delay all of them.
                self._read(timeout=LINGER)
            while not self.inbox.empty():
                self.inbox.get()()
            finished = 0
            if self.engine.busy and self.engine.version is not None:
                for running, reply in self.engine.step():
                    finished += 1
                    if running.client in self.answers:
                        self.answers[running.client].ready.append((running.key, reply))
                for answers in self.answers.values():
                    answers.flush()

    def _read(self, timeout: float) -> None:
        try:
            self.inbox.get(timeout=timeout)()
        except queue.Empty:
            return

    def _ask(self, action: Callable[[], T]) -> T:
        """Run `action` in the engine's thread and return what it returns or raises."""
        future: Future[T] = Future()

        def message() -> None:
            try:
                future.set_result(action())
            except BaseException as error:
                future.set_exception(error)

        self.inbox.put(message)
        return future.result()

    def generate(self, client: str, contexts: Contexts, decoding: Decoding) -> Replies:
        """Queue contexts and return the client's ready replies: at least one, if any are pending.

        Args:
            client: name of the caller. Its earlier contexts are still processed.
            contexts: new contexts; empty to wait for the earlier ones.
            decoding: sampling settings.

        Raises:
            SamplerStale: if there is no complete version of the weights.
        """
        requests = contexts.unpack()

        def submit() -> Future[Replies]:
            if self.engine.version is None and not self.engine.open:
                raise SamplerStale("the sampler has no weights of a known version yet")
            answers = self.answers.setdefault(client, ClientQueue())
            answers.pending += len(requests)
            waiter = answers.waiter = Future()
            if self.engine.open:  # the cache is salted with the version, which is not known yet
                submission = partial(self.engine.submit, client, requests, decoding)
                self.postponed.append((client, submission))
            else:
                self.engine.submit(client, requests, decoding)
            answers.flush()
            return waiter

        return self._ask(submit).result()

    def forget(self, client: str) -> None:
        """Drop a client's requests and replies."""

        def drop() -> None:
            self.postponed = [entry for entry in self.postponed if entry[0] != client]
            self.engine.abort(client)
            self.answers.pop(client, None)

        self._ask(drop)

    def sleep(self) -> None:
        """Free the GPU's memory until the next weight update; see `VLLMEngine.sleep`."""
        self._ask(self.engine.sleep)

    def begin_load(self) -> None:
        """Open a weight update; see `VLLMEngine.begin_load`."""
        self._ask(self.engine.begin_load)

    def load(self, bucket: Any) -> None:
        """Load one bucket (`learners.buckets.Bucket`)."""
        self._ask(lambda: self.engine.load(bucket))

    def finish_load(self, version: int) -> None:
        """Close a weight update: from now on the sampler serves `version`."""

        def finish() -> None:
            self.engine.finish_load(version)
            postponed, self.postponed = self.postponed, []
            for _, submit in postponed:
                submit()

        self._ask(finish)

    def score(self, probes: list[Ids]) -> list[NDArray[np.float32]]:
        """Return log-probabilities of probes; runs between two steps, like an update."""
        return self._ask(lambda: self.engine.score(probes))

    def held(self, probes: list[Ids]) -> tuple[list[NDArray[np.float32]], dict[str, int]]:
        """Return log-probabilities of probes, in nats, and checksums of the latest update's tensors
        by name; the parity gate compares both."""
        return self._ask(lambda: (self.engine.score(probes), self.engine.arrived))

    def set_beta(self, beta: float) -> None:
        """Change β of a value-guided policy; see `VLLMEngine.set_beta`."""
        self._ask(lambda: self.engine.set_beta(beta))

    def quarantine(self) -> None:
        """Remove the version: the sampler serves nothing until the next complete push."""
        self._ask(self.engine.quarantine)

    @ray.method(concurrency_group="health")
    def state(self) -> dict[str, Any]:
        """Return version, process id, number of waiting requests, peak memory in GB, and usage."""
        return {
            "version": self.engine.version,
            "pid": os.getpid(),
            "waiting": len(self.engine.running),
            "peak_memory_gb": peak_memory(),
            **asdict(self.engine.usage),
        }


# `state` has a thread of its own, so that it responds however many callers wait for replies.
SamplerActor = ray.remote(
    max_restarts=-1, max_task_retries=0, max_concurrency=32, concurrency_groups={"health": 1}
)(Sampler)
"""`Sampler` as a Ray actor."""
