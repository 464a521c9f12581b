"""`Sampler`, the Ray actor around a vLLM engine, and its rule: no version, no answers.

One thread steps the engine whenever requests wait. `generate` hands in contexts and returns as soon
as some of the caller's are answered, so a long answer never holds up short ones, and requests of
several simulators share the engine's batches. Weight updates take the engine's lock: they fall
between two engine steps, never inside one, and no episode has to end for them.

A sampler that was restarted, or whose update did not finish, has no version. It refuses to sample
until the coordinator has pushed the current one.
"""

import threading
import time
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import ray
from numpy.typing import NDArray

from actors.vllm_engine import Decoding, Request, SamplerConfig, VLLMEngine
from lmrl.rollout import Reply
from lmrl.trajectory import Ids


class SamplerStale(RuntimeError):
    """The sampler holds no complete version of the weights: push first, then ask again."""


class Contexts(NamedTuple):
    """Requests on the wire: keys `[n]`, seeds `[n]`, tokens end to end, and lengths `[n]`."""

    keys: NDArray[np.int64]
    seeds: NDArray[np.int64]
    tokens: Ids
    lengths: NDArray[np.int64]

    @classmethod
    def pack(cls, requests: list[Request]) -> "Contexts":
        """Return requests as flat arrays."""
        return cls(
            np.array([r.key for r in requests], np.int64),
            np.array([r.seed for r in requests], np.int64),
            np.concatenate([r.context for r in requests]) if requests else np.empty(0, np.int32),
            np.array([len(r.context) for r in requests], np.int64),
        )

    def unpack(self) -> list[Request]:
        """Return the requests."""
        parts = np.split(self.tokens, np.cumsum(self.lengths)[:-1]) if len(self.keys) else []
        return [
            Request(int(k), part, int(s))
            for k, part, s in zip(self.keys, parts, self.seeds, strict=True)
        ]


class Replies(NamedTuple):
    """Replies on the wire: keys `[n]`, flat columns, and lengths `[n]`."""

    keys: NDArray[np.int64]
    ids: Ids
    logprobs: NDArray[np.float32]
    versions: Ids
    lengths: NDArray[np.int64]

    @classmethod
    def pack(cls, replies: list[tuple[int, Reply]]) -> "Replies":
        """Return replies as flat arrays."""
        if not replies:
            none = np.empty(0, np.int32)
            return cls(none.astype(np.int64), none, none.astype(np.float32), none, none.astype(np.int64))
        return cls(
            np.array([key for key, _ in replies], np.int64),
            np.concatenate([r.ids for _, r in replies]),
            np.concatenate([r.logprobs for _, r in replies]),
            np.concatenate([r.versions for _, r in replies]),
            np.array([len(r.ids) for _, r in replies], np.int64),
        )

    def unpack(self) -> list[tuple[int, Reply]]:
        """Return (key, reply) pairs."""
        ends = np.cumsum(self.lengths)
        return [
            (int(k), Reply(self.ids[a:b], self.logprobs[a:b], self.versions[a:b]))
            for k, a, b in zip(self.keys, ends - self.lengths, ends, strict=True)
        ]


@ray.remote(max_restarts=-1, max_task_retries=0, max_concurrency=32)
class Sampler:
    """A policy sampler.

    Args:
        checkpoint: a Hugging Face checkpoint directory; gives architecture and tokenizer. Its
            weights are served only after a push says so.
        config: of the engine.
        context: most tokens of context and action together.
        stop_ids: tokens that end an action.
        device: `cpu` or `cuda`.
        trust: serve the checkpoint's own weights as this version, without a push (evaluation of a
            checkpoint; a restart then serves the same weights again).
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
        self.engine = VLLMEngine(checkpoint, config, context, stop_ids, device)
        if trust is not None:
            self.engine.engine.set_weight_version(str(trust))
            self.engine.version = trust
        self.lock = threading.Condition()
        self.loading = False
        self.done: dict[str, list[tuple[int, Reply]]] = {}
        self.failure: str | None = None
        threading.Thread(target=self._loop, name="engine", daemon=True).start()

    def _loop(self) -> None:
        while True:
            with self.lock:
                while not self.engine.busy or self.engine.version is None:
                    self.lock.wait()
                began = time.perf_counter()
                try:
                    finished = self.engine.step()
                except Exception as error:  # reported to every caller, then the actor is replaced
                    self.failure = f"{type(error).__name__}: {error}"
                    self.lock.notify_all()
                    return
                self.engine.usage.busy_seconds += time.perf_counter() - began
                for running, reply in finished:
                    self.done.setdefault(running.client, []).append((running.key, reply))
                if finished:
                    self.lock.notify_all()
            # Give callers a chance between two steps; without this the thread keeps the lock.
            time.sleep(0)

    def generate(self, client: str, contexts: Contexts, decoding: Decoding) -> Replies:
        """Queue contexts and return the client's replies that are ready: at least one.

        Args:
            client: a name of the caller's; its earlier contexts are still worked on.
            contexts: new ones; may be empty, to wait for the earlier ones.
            decoding: how to sample.

        Raises:
            SamplerStale: if there is no complete version of the weights.
        """
        with self.lock:
            if self.engine.version is None:
                raise SamplerStale("the sampler has no weights of a known version yet")
            self.engine.submit(client, contexts.unpack(), decoding)
            self.lock.notify_all()
            while not self.done.get(client):
                if self.failure:
                    raise RuntimeError(f"the vLLM engine failed: {self.failure}")
                if not any(r.client == client for r in self.engine.running.values()):
                    break  # nothing to wait for
                self.lock.wait(timeout=5.0)
            return Replies.pack(self.done.pop(client, []))

    def forget(self, client: str) -> None:
        """Drop a client's requests and replies."""
        with self.lock:
            self.engine.abort(client)
            self.done.pop(client, None)

    def begin_load(self) -> None:
        """Open a weight update; see `VLLMEngine.begin_load`."""
        with self.lock:
            self.engine.begin_load()

    def load(self, bucket: Any) -> None:
        """Load one bucket (`learners.engine.Bucket`)."""
        with self.lock:
            self.engine.load(bucket.metas, bucket.data)

    def finish_load(self, version: int) -> None:
        """Close a weight update: from now on the sampler serves `version`."""
        with self.lock:
            self.engine.finish_load(version)
            self.lock.notify_all()

    def score(self, probes: list[Ids]) -> list[NDArray[np.float32]]:
        """Return log-probs of probes, for the parity gate. Waits for running requests."""
        while True:
            with self.lock:
                if not self.engine.busy:
                    return self.engine.score(probes)
            time.sleep(0.002)

    def quarantine(self) -> None:
        """Take the version away: nobody gets answers until the next complete push."""
        with self.lock:
            self.engine.version = None

    def state(self) -> dict[str, Any]:
        """Return version, process and usage."""
        import os

        return {
            "version": self.engine.version,
            "pid": os.getpid(),
            "waiting": len(self.engine.running),
            **asdict(self.engine.usage),
        }
