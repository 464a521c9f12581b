"""`Simulator`, the Ray actor that plays many episodes of any task at once.

All contexts without an action are sent to a sampler in one call. The call returns the replies that
are ready, the simulator steps those episodes, and calls the sampler again. A slow episode never
blocks the others, and there is no lock-step batch. Finished episodes are sent as Arrow tables, in
batches.

If a model answers for the task (an oracle, a buyer), a step may take seconds. Such steps run in
threads, and the model's engine batches their requests.
"""

import os
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from typing import Any

import ray

from actors.chat.config import ChatConfig
from actors.chat.model import ChatOracle, RetryingChatModel, chat_model
from actors.config import SimulatorConfig
from actors.messages import (
    Contexts,
    EngineFailed,
    EpisodeId,
    Failure,
    Finished,
    Job,
    Request,
    SamplerStale,
)
from lmrl.env import Player
from lmrl.episode import Episode, Reply
from lmrl.errors import RunError
from lmrl.schema import to_table
from lmrl.seeds import player_rng, request_seed
from lmrl.tasks import make, make_answered
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig
from lmrl.trajectory import Trajectory

ENGINE_FAILURES = 3
"""Largest number of engine failures, without a reply in between, that a job tolerates."""


class _Batch:
    """The running, finished and failed episodes of a job."""

    def __init__(
        self,
        job: Job,
        codec: Codec,
        max_context: int,
        oracle: RetryingChatModel | None = None,
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        self.job, self.codec, self.max_context = job, codec, max_context
        self.oracle, self.threads = oracle, threads
        self.running: dict[int, Episode] = {}
        self.stepping: dict[int, Future[None]] = {}
        self.players: dict[int, Player] = {}
        self.done: list[Trajectory] = []
        self.members: list[int] = []  # one for each of `done`
        self.failures: list[Failure] = []
        self.waiting = iter(enumerate(job.episodes))
        self._fill()

    def _fill(self) -> None:
        while len(self.running) < self.job.at_once:
            waiting = next(self.waiting, None)
            if waiting is None:
                return
            key, episode = waiting
            try:
                self._start(key, episode.seed)
            except Exception as error:
                self.failures.append(_failure(episode, error))

    def _start(self, key: int, seed: int) -> None:
        job = self.job
        if self.oracle is None:
            env = make(job.task, **job.options)
        else:
            env = make_answered(job.task, job.options, ChatOracle(self.oracle))
        self.running[key] = Episode(env, seed, self.codec, self.max_context, job.task, job.options)
        if job.player:
            self.players[key] = env.player(job.player, player_rng(job.player, seed))

    def idle(self) -> list[tuple[int, Episode]]:
        """Return the running episodes that are not in a step."""
        return [(k, episode) for k, episode in self.running.items() if k not in self.stepping]

    def advance(self, key: int, reply: Reply | str) -> None:
        """Apply an action, in a thread if a model answers for the task."""
        episode = self.running[key]

        def step() -> None:
            if isinstance(reply, Reply):
                episode.reply(reply)
            else:
                episode.act(reply)

        if self.threads is not None:
            self.stepping[key] = self.threads.submit(step)
            return
        finished: Future[None] = Future()
        try:
            step()
            finished.set_result(None)
        except Exception as error:
            finished.set_exception(error)
        self._stepped(key, finished)

    def collect(self, block: bool) -> None:
        """Process the steps that threads have finished; wait for at least one if `block`."""
        if not self.stepping:
            return
        wait(self.stepping.values(), None if block else 0, FIRST_COMPLETED)
        for key in [key for key, future in self.stepping.items() if future.done()]:
            self._stepped(key, self.stepping.pop(key))

    def _stepped(self, key: int, step: Future[None]) -> None:
        """Process an episode after its step; if it ended, start the next one."""
        episode = self.running[key]
        try:
            step.result()
        except Exception as error:  # an error of the task: this episode fails, the run continues
            self.failures.append(_failure(self.job.episodes[key], error))
        else:
            if not episode.done:
                return
            self.done.append(episode.trajectory(self.job.player or self.job.label))
            self.members.append(self.job.episodes[key].member)
        del self.running[key]
        self._fill()

    def take(self) -> Finished:
        """Return, and remove, the episodes that have ended so far."""
        usage = asdict(self.oracle.take_usage()) if self.oracle else {}
        finished = Finished(to_table(self.done), self.members, self.failures, usage)
        self.done, self.members, self.failures = [], [], []
        return finished


class Simulator:
    """An actor that plays episodes.

    Args:
        samplers: names of the sampler actors. The first one is used; the others replace it when
            it fails. Names, because Ray cannot promise to keep handles in the arguments of an actor
            that it may have to restart.
        checkpoint: checkpoint directory with the policy's tokenizer.
        form: format of the policy's contexts and replies.
        max_context: largest number of tokens of a context.
        config: settings of the simulators.
        chat: settings of the model that answers for the task; None is the task's own scripted
            oracle or buyer.
        chat_samplers: names of the sampler actors that serve this model, if it has no endpoint.
        chat_version: version of the model's weights.
    """

    def __init__(
        self,
        samplers: list[str],
        checkpoint: str,
        form: FormatConfig,
        max_context: int,
        config: SimulatorConfig,
        chat: ChatConfig | None = None,
        chat_samplers: list[str] | None = None,
        chat_version: str = "",
    ) -> None:
        self.samplers = [ray.get_actor(name) for name in samplers]
        self.max_context, self.config = max_context, config
        self.codec = Codec.load(checkpoint, form)
        self.jobs = count()
        self.oracle: RetryingChatModel | None = None
        if chat is not None:
            serving = [ray.get_actor(name) for name in chat_samplers or []]
            self.oracle = chat_model(chat, serving, chat_version)

    @ray.method(concurrency_group="health")
    def state(self) -> dict[str, Any]:
        """Return the process id, once the actor has started."""
        return {"pid": os.getpid()}

    def play(self, job: Job) -> Iterator[Finished]:
        """Yield the job's episodes in batches, in the order in which they finish.

        Raises:
            RunError: if no sampler answers.
        """
        with ExitStack() as stack:
            threads = (
                stack.enter_context(ThreadPoolExecutor(self.oracle.config.at_once))
                if self.oracle
                else None
            )
            batch = _Batch(job, self.codec, self.max_context, self.oracle, threads)
            answers = self._scripted(batch) if job.player else self._sampled(job, batch)
            for key, reply in answers:
                batch.advance(key, reply)
                if len(batch.done) >= self.config.flush:
                    yield batch.take()
            if batch.done or batch.failures:
                yield batch.take()

    def _scripted(self, batch: "_Batch") -> Iterator[tuple[int, str]]:
        while batch.running:
            for key, episode in batch.idle():
                yield key, batch.players[key](episode.observation)
            batch.collect(block=True)

    def _sampled(self, job: Job, batch: "_Batch") -> Iterator[tuple[int, Reply]]:
        """Yield actions for running episodes until none is left; the caller applies each of them.

        If a sampler fails, its pending requests are sent to another one.

        Raises:
            RunError: if no sampler answers.
        """
        own = failures = timeouts = 0
        asked: set[int] = set()
        name = f"{ray.get_runtime_context().get_actor_id()}/{next(self.jobs)}"
        attempt = 0
        patience, reply_timeout = self.config.patience, self.config.reply_timeout
        deadline = time.monotonic() + patience
        while batch.running:
            new = [
                Request(
                    key,
                    episode.context,
                    request_seed(
                        job.decoding.seed,
                        episode.seed,
                        len(episode.turns),
                        job.episodes[key].member,
                    ),
                )
                for key, episode in batch.idle()
                if key not in asked
            ]
            if not new and not asked:
                batch.collect(block=True)  # every episode waits for the task's model
                continue
            sampler, client = self.samplers[own], f"{name}/{attempt}"
            try:
                answer = sampler.generate.remote(client, Contexts.pack(new), job.decoding)
                replies = ray.get(answer, timeout=reply_timeout)
            except (
                ray.exceptions.RayActorError,
                ray.exceptions.GetTimeoutError,
                SamplerStale,
                EngineFailed,
            ) as error:
                failures += isinstance(error, EngineFailed)
                if isinstance(error, ray.exceptions.GetTimeoutError):
                    timeouts += 1
                    deadline = time.monotonic() + patience
                    sampler.forget.remote(client)
                if timeouts >= len(self.samplers):
                    raise RunError(
                        f"no sampler answered within {reply_timeout:g} s each; they may be "
                        "overloaded: lower rollouts.in_flight, or raise simulator.reply_timeout"
                    ) from error
                if time.monotonic() > deadline or failures > ENGINE_FAILURES:
                    raise RunError(
                        f"no sampler answers (simulator.patience is {patience:g} s); the last "
                        f"error: {getattr(error, 'cause', error)}"
                    ) from error
                # The sampler is dead, restarting, unresponsive, or without weights: use another
                # one, or the same one later. The client name changes, so that late replies to the
                # old name are never used.
                own = (own + 1) % len(self.samplers)
                attempt += 1
                asked.clear()
                time.sleep(0.2)
                continue
            deadline = time.monotonic() + self.config.patience
            failures = timeouts = 0
            asked.update(request.key for request in new)
            for key, reply in replies.unpack():
                asked.discard(key)
                if key in batch.running:
                    yield key, reply
            batch.collect(block=False)


# `state` has a thread of its own, so that it responds while other threads play jobs.
SimulatorActor = ray.remote(max_restarts=-1, max_task_retries=0, concurrency_groups={"health": 1})(
    Simulator
)
"""`Simulator` as a Ray actor."""


def _failure(episode: EpisodeId, error: Exception) -> Failure:
    return Failure(*episode, f"{type(error).__name__}: {error}", traceback.format_exc(limit=8))
