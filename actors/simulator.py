"""`Simulator`, the Ray actor that plays many episodes of any task at once.

Every context that waits for an action goes to a sampler in one call; the call returns what is
answered by then, the simulator steps those episodes, and asks again. A slow episode never blocks
the others, and there is no lock-step batch. Finished episodes leave as Arrow tables, in batches.
"""

import os
import random
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray

from actors.sampler import Contexts
from actors.vllm_engine import Decoding, Request, SamplerStale
from lmrl.codec import Codec
from lmrl.env import Player
from lmrl.rollout import Episode, Reply
from lmrl.schema import to_table
from lmrl.tasks import make
from lmrl.trajectory import Trajectory


@dataclass(frozen=True)
class SimulatorConfig:
    """Simulator actors.

    Attributes:
        count: actors.
        flush: finished episodes that travel together.
        patience: seconds to wait for a sampler that restarts or is being loaded.
    """

    count: int = 1
    flush: int = 64
    patience: float = 300.0


class Failure(NamedTuple):
    """An episode that a task or its context ended with an error."""

    seed: int
    error: str
    trace: str


class Finished(NamedTuple):
    """What a simulator sends: episodes in Arrow form, and those that failed."""

    table: pa.Table
    failures: list[Failure]


class Job(NamedTuple):
    """Episodes to play.

    Attributes:
        task: name.
        options: of the task.
        seeds: one episode each.
        decoding: how the policy samples.
        player: a scripted player of the task instead of the policy; empty is the policy.
        label: for `Trajectory.player`.
        at_once: most episodes that run at one time; the next starts when one ends.
    """

    task: str
    options: Mapping[str, Any]
    seeds: list[int]
    decoding: Decoding
    player: str = ""
    label: str = "policy"
    at_once: int = 256


class _Batch:
    """The episodes of a job: those that run, those that are done, and those that failed."""

    def __init__(self, job: Job, codec: Codec, max_context: int) -> None:
        self.job, self.codec, self.max_context = job, codec, max_context
        self.running: dict[int, Episode] = {}
        self.players: dict[int, Player] = {}
        self.done: list[Trajectory] = []
        self.failures: list[Failure] = []
        self.waiting = enumerate(job.seeds)
        self._fill()

    def _fill(self) -> None:
        while len(self.running) < self.job.at_once:
            key, seed = next(self.waiting, (None, 0))
            if key is None:
                return
            try:
                self._start(key, seed)
            except Exception as error:
                self.failures.append(_failure(seed, error))

    def _start(self, key: int, seed: int) -> None:
        job = self.job
        env = make(job.task, **job.options)
        self.running[key] = Episode(env, seed, self.codec, self.max_context, job.task, job.options)
        if job.player:
            self.players[key] = env.player(job.player, random.Random(f"{job.player}:{seed}"))

    def advance(self, key: int, reply: Reply | str) -> None:
        """Apply an answer; what ends makes room for the next episode."""
        episode = self.running[key]
        try:
            if isinstance(reply, Reply):
                episode.reply(reply)
            else:
                episode.act(reply)
        except Exception as error:  # the task's fault: this episode fails, the run goes on
            self.failures.append(_failure(episode.seed, error))
        else:
            if not episode.done:
                return
            self.done.append(episode.trajectory(self.job.player or self.job.label))
        del self.running[key]
        self._fill()

    def take(self) -> Finished:
        """Hand over what has ended so far."""
        finished = Finished(to_table(self.done), self.failures)
        self.done, self.failures = [], []
        return finished


@ray.remote(max_restarts=-1, max_task_retries=0)
class Simulator:
    """Plays episodes.

    Args:
        samplers: actors; the first is this simulator's own, the others stand in when it fails.
        checkpoint: directory whose tokenizer the policy uses.
        max_context: most tokens of a context.
        config: of the simulators.
    """

    def __init__(
        self, samplers: list[Any], checkpoint: str, max_context: int, config: SimulatorConfig
    ) -> None:
        self.samplers, self.max_context, self.config = samplers, max_context, config
        self.codec = Codec.load(checkpoint)
        self.jobs = 0

    def ready(self) -> int:
        """Return the process id, once the actor is up."""
        return os.getpid()

    def play(self, job: Job) -> Iterator[Finished]:
        """Yield the job's episodes as they finish, in batches; order is not kept."""
        self.jobs += 1
        batch = _Batch(job, self.codec, self.max_context)
        answers = self._scripted(batch) if job.player else self._sampled(job, batch)
        for key, reply in answers:
            batch.advance(key, reply)
            if len(batch.done) >= self.config.flush:
                yield batch.take()
        if batch.done or batch.failures:
            yield batch.take()

    def _scripted(self, batch: "_Batch") -> Iterator[tuple[int, str]]:
        while batch.running:
            key, episode = next(iter(batch.running.items()))
            while key in batch.running:
                yield key, batch.players[key](episode.observation)

    def _sampled(self, job: Job, batch: "_Batch") -> Iterator[tuple[int, Reply]]:
        """Yield answers for running episodes until none is left; the caller applies each.

        After a sampler failed, everything that it had not answered is asked again elsewhere.
        """
        own = 0
        asked: set[int] = set()
        client = f"{ray.get_runtime_context().get_actor_id()}/{self.jobs}"
        attempt = 0
        deadline = time.monotonic() + self.config.patience
        while batch.running:
            new = [
                Request(key, episode.context, request_seed(job.decoding.seed, episode))
                for key, episode in batch.running.items()
                if key not in asked
            ]
            sampler = self.samplers[own]
            try:
                replies = ray.get(
                    sampler.generate.remote(f"{client}/{attempt}", Contexts.pack(new), job.decoding)
                )
            except (ray.exceptions.RayActorError, SamplerStale):
                if time.monotonic() > deadline:
                    raise
                # Dead, restarting, or without weights: another sampler, or the same one later.
                # A new client name, so that late answers to the old one are never taken.
                own = (own + 1) % len(self.samplers)
                attempt += 1
                asked.clear()
                time.sleep(0.2)
                continue
            deadline = time.monotonic() + self.config.patience
            asked.update(request.key for request in new)
            for key, reply in replies.unpack():
                asked.discard(key)
                if key in batch.running:
                    yield key, reply


def request_seed(run_seed: int, episode: Episode) -> int:
    """Return the sampling seed of an episode's next turn: of run, episode and turn alone."""
    mixed = np.random.SeedSequence([run_seed, episode.seed % 2**63, len(episode.turns)])
    return int(mixed.generate_state(1, np.uint32)[0])


def _failure(seed: int, error: Exception) -> Failure:
    return Failure(seed, f"{type(error).__name__}: {error}", traceback.format_exc(limit=8))
