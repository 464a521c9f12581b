"""`Simulator`, the Ray actor that plays many episodes of any task at once.

Every context that waits for an action goes to a sampler in one call; the call returns what is
answered by then, the simulator steps those episodes, and asks again. A slow episode never blocks
the others, and there is no lock-step batch. Finished episodes leave as Arrow tables, in batches.

Where a model answers for the task (an oracle, a buyer), a step may take seconds: those steps run in
threads, and the model's engine batches what they ask.
"""

import os
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import ray

from actors.chat.config import ChatConfig
from actors.chat.model import ChatOracle, RetryingChatModel, chat_model
from actors.config import SimulatorConfig
from actors.messages import (
    Contexts,
    EngineFailed,
    Failure,
    Finished,
    Job,
    Request,
    SamplerStale,
)
from lmrl.codec import Codec
from lmrl.env import Player
from lmrl.errors import RunError
from lmrl.rollout import Episode, Reply
from lmrl.schema import to_table
from lmrl.seeds import player_rng, request_seed
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

ENGINE_FAILURES = 3
"""Failures of engines, without an answer in between, after which a job gives up."""


class _Batch:
    """The episodes of a job: those that run, those that are done, and those that failed."""

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
        if self.oracle is not None:
            # Beside the options, not among them: the record names the model in its info.
            env = make(job.task, **job.options, **{env.oracle_option: ChatOracle(self.oracle)})
        self.running[key] = Episode(env, seed, self.codec, self.max_context, job.task, job.options)
        if job.player:
            self.players[key] = env.player(job.player, player_rng(job.player, seed))

    def idle(self) -> list[tuple[int, Episode]]:
        """Return the running episodes that are not in a step."""
        return [(k, episode) for k, episode in self.running.items() if k not in self.stepping]

    def advance(self, key: int, reply: Reply | str) -> None:
        """Apply an answer, in a thread if a model answers for the task."""
        episode = self.running[key]

        def step() -> None:
            if isinstance(reply, Reply):
                episode.reply(reply)
            else:
                episode.act(reply)

        if self.threads is not None:
            self.stepping[key] = self.threads.submit(step)
            return
        now: Future[None] = Future()
        try:
            step()
            now.set_result(None)
        except Exception as error:
            now.set_exception(error)
        self._stepped(key, now)

    def collect(self, patient: bool) -> None:
        """Take in the steps that threads have finished; wait for one if `patient`."""
        if not self.stepping:
            return
        wait(self.stepping.values(), None if patient else 0, FIRST_COMPLETED)
        for key in [key for key, future in self.stepping.items() if future.done()]:
            self._stepped(key, self.stepping.pop(key))

    def _stepped(self, key: int, step: Future[None]) -> None:
        """Look at an episode after its step; one that ended makes room for the next."""
        episode = self.running[key]
        try:
            step.result()
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
        usage = asdict(self.oracle.take_usage()) if self.oracle else {}
        finished = Finished(to_table(self.done), self.failures, usage)
        self.done, self.failures = [], []
        return finished


# A thread of its own answers whether the actor is alive, while another plays.
@ray.remote(max_restarts=-1, max_task_retries=0, concurrency_groups={"health": 1})
class Simulator:
    """Plays episodes.

    Args:
        samplers: actors; the first is this simulator's own, the others stand in when it fails.
        checkpoint: directory whose tokenizer the policy uses.
        max_context: most tokens of a context.
        config: of the simulators.
        chat: the model that answers for the task; None is the task's own scripted one.
        chat_samplers: actors that serve it, if no endpoint does.
        chat_version: of its weights.
    """

    def __init__(
        self,
        samplers: list[Any],
        checkpoint: str,
        max_context: int,
        config: SimulatorConfig,
        chat: ChatConfig | None = None,
        chat_samplers: list[Any] | None = None,
        chat_version: str = "",
    ) -> None:
        self.samplers, self.max_context, self.config = samplers, max_context, config
        self.codec = Codec.load(checkpoint)
        self.jobs = 0
        self.oracle = chat_model(chat, chat_samplers or [], chat_version) if chat else None

    @ray.method(concurrency_group="health")
    def state(self) -> dict[str, Any]:
        """Return the process, once the actor is up."""
        return {"pid": os.getpid()}

    def play(self, job: Job) -> Iterator[Finished]:
        """Yield the job's episodes as they finish, in batches; order is not kept."""
        self.jobs += 1
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
            batch.collect(patient=True)

    def _sampled(self, job: Job, batch: "_Batch") -> Iterator[tuple[int, Reply]]:
        """Yield answers for running episodes until none is left; the caller applies each.

        After a sampler failed, everything that it had not answered is asked again elsewhere.

        Raises:
            RunError: if no sampler answers.
        """
        own = failures = timeouts = 0
        asked: set[int] = set()
        name = f"{ray.get_runtime_context().get_actor_id()}/{self.jobs}"
        attempt = 0
        patience, reply_timeout = self.config.patience, self.config.reply_timeout
        deadline = time.monotonic() + patience
        while batch.running:
            new = [
                Request(
                    key,
                    episode.context,
                    request_seed(job.decoding.seed, episode.seed, len(episode.turns)),
                )
                for key, episode in batch.idle()
                if key not in asked
            ]
            if not new and not asked:
                batch.collect(patient=True)  # every episode waits for the task's model
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
                # Dead, restarting, silent, or without weights: another sampler, or the same one
                # later. A new client name, so that late answers to the old one are never taken.
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
            batch.collect(patient=False)


def _failure(seed: int, error: Exception) -> Failure:
    return Failure(seed, f"{type(error).__name__}: {error}", traceback.format_exc(limit=8))
