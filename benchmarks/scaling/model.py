"""A discrete-event model of samplers, simulators, driver and learner, in SimPy.

It has the system's own rules: a sampler batches continuously, and waits a moment when most of its
batch has finished; a simulator has one open call for each job; the driver takes one batch of
episodes at a time; an update takes the episodes that have ended; `staleness` further rounds are
played ahead; tokens that are too old are dropped; a push stops every sampler. Durations come from
measured service times (`Times`).

A sampler that fails plays its requests again once it has restarted. The system sends them to
another sampler meanwhile, so the model is pessimistic there.
"""

import math
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from benchmarks.scaling.times import Times

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class System:
    """Sizes of a system.

    Attributes:
        samplers: number of samplers.
        per_sampler: number of simulators of each sampler.
        ranks: number of learner ranks.
        at_once: number of episodes of a sampler that run at one time.
        episodes: number of episodes of an update.
        turns: mean number of turns of an episode.
        long_tailed: whether the numbers of turns are geometric; otherwise all are equal.
        tokens: number of tokens of an action.
        staleness: largest number of versions that a token may be behind the learner.
        updates: number of updates; 0 plays one round and does not learn.
        flush: number of finished episodes that a simulator sends together.
        cores: number of cores that simulators and driver share; 0 gives each one of its own.
        mtbf: mean time between failures of a sampler, in seconds; 0 is without failures.
        restart: time in which a sampler restarts, in seconds.
        seed: seed of the numbers of turns and of the failures.
    """

    samplers: int
    episodes: int
    per_sampler: int = 1
    ranks: int = 1
    at_once: int = 64
    turns: float = 5.0
    long_tailed: bool = True
    tokens: int = 8
    staleness: int = 0
    updates: int = 0
    flush: int = 64
    cores: int = 0
    mtbf: float = 0.0
    restart: float = 30.0
    seed: int = 0


@dataclass
class Outcome:
    """Result of a simulated run.

    Attributes:
        seconds: simulated time.
        turns: number of turns that were played.
        episodes: number of episodes that ended.
        dropped: number of episodes that were too old.
        busy: share of the time in which each stage was busy: `sampler`, `driver`, `learner`, and
            `cores` where simulators share them.
        waited: time for which the learner waited for episodes, in seconds.
        pushed: time of all pushes, in seconds.
        updates: time at which each update had ended, in seconds.
    """

    seconds: float = 0.0
    turns: int = 0
    episodes: int = 0
    dropped: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    waited: float = 0.0
    pushed: float = 0.0
    updates: list[float] = field(default_factory=list)

    @property
    def turns_per_s(self) -> float:
        """Number of turns per second."""
        return self.turns / self.seconds

    @property
    def saturated(self) -> str:
        """Name of the stage that is busy for the largest share of the time."""
        return max(self.busy, key=lambda stage: self.busy[stage])


class Engine:
    """A sampler: all sequences of its batch get one token in a step.

    Args:
        env: SimPy environment.
        times: service times.
        system: sizes of the system.
        rng: generator of its failures.
    """

    def __init__(
        self, env: simpy.Environment, times: Times, system: System, rng: np.random.Generator
    ) -> None:
        self.env, self.times, self.system, self.rng = env, times, system, rng
        self.inbox: list[tuple[simpy.Store, int]] = []
        self.due: dict[int, Counter[simpy.Store]] = {}
        self.active = self.steps = 0
        self.busy = 0.0
        self.open: simpy.Event | None = None  # a push that has not ended
        self.wake = env.event()
        self.fails = self._next_failure()
        env.process(self._serve())

    def submit(self, client: simpy.Store, count: int) -> None:
        """Queue contexts.

        Args:
            client: store that gets the number of replies of each step.
            count: number of contexts.
        """
        self.inbox.append((client, count))
        if not self.wake.triggered:
            self.wake.succeed()

    def _next_failure(self) -> float:
        mtbf = self.system.mtbf
        return self.env.now + self.rng.exponential(mtbf) if mtbf else math.inf

    def _serve(self) -> Process:
        env, times, ended = self.env, self.times, 0
        while True:
            if not self.inbox:
                self.wake = env.event()
                if not self.active:
                    yield self.wake
                elif ended > self.active:
                    yield self.wake | env.timeout(times.linger)
            if self.open is not None:
                yield self.open
            if env.now > self.fails:
                yield env.timeout(self.system.restart)
                self._restart()
            for client, count in self.inbox:
                step = self.steps + self.system.tokens
                self.due.setdefault(step, Counter())[client] += count
                self.active += count
            self.inbox.clear()
            seconds = times.step + times.step_each * self.active
            yield env.timeout(seconds)
            self.busy += seconds
            self.steps += 1
            replies = self.due.pop(self.steps, Counter())
            ended = replies.total()
            self.active -= ended
            for client, count in replies.items():
                client.put(count)

    def _restart(self) -> None:
        """Begin all sequences again."""
        again: Counter[simpy.Store] = sum(self.due.values(), Counter())
        self.due = {self.steps + self.system.tokens: again} if again else {}
        self.fails = self._next_failure()


class Model:
    """A run of a system.

    Args:
        times: service times.
        system: sizes of the system.
    """

    def __init__(self, times: Times, system: System) -> None:
        self.times, self.system, self.outcome = times, system, Outcome()
        self.env = simpy.Environment()
        lengths, failures = np.random.SeedSequence(system.seed).spawn(2)
        self.rng = np.random.default_rng(lengths)
        seeds = failures.spawn(system.samplers)
        self.engines = [
            Engine(self.env, times, system, np.random.default_rng(seed)) for seed in seeds
        ]
        self.cores = simpy.Resource(self.env, system.cores) if system.cores else None
        self.used = dict.fromkeys(("driver", "learner", "cores"), 0.0)
        self.driver = simpy.Resource(self.env)
        self.version = self.streams = self.started = 0
        self.ended = simpy.Store(self.env)  # version of each episode's first token

    def run(self) -> Outcome:
        """Simulate the run to its end."""
        env, system, outcome = self.env, self.system, self.outcome
        if system.updates:
            env.process(self._polls())
            env.run(env.process(self._train()))
        else:
            env.run(env.process(self._round()))
        outcome.seconds = env.now
        engines = sum(engine.busy for engine in self.engines) / system.samplers
        outcome.busy = {"sampler": engines / env.now} | {
            stage: self.used[stage] / env.now for stage in ("driver", "learner")
        }
        if system.cores:
            outcome.busy["cores"] = self.used["cores"] / system.cores / env.now
        return outcome

    def _work(self, seconds: float) -> Process:
        """Let a simulator or the driver compute."""
        if self.cores is None:
            yield self.env.timeout(seconds)
            return
        with self.cores.request() as core:
            yield core
            yield self.env.timeout(seconds)
        self.used["cores"] += seconds

    def _drive(self, seconds: float) -> Process:
        """Let the driver, which does one thing at a time, compute."""
        with self.driver.request() as turn:
            yield turn
            yield from self._work(seconds)
        self.used["driver"] += seconds

    def _polls(self) -> Process:
        actors = self.system.samplers * (1 + self.system.per_sampler)
        while True:
            yield self.env.timeout(1.0)
            yield from self._drive(self.times.poll * actors)

    def _submit(self, episodes: int) -> list[simpy.Process]:
        """Divide episodes among all simulators."""
        system, started = self.system, []
        self.started += episodes
        count = system.samplers * system.per_sampler
        ahead = system.staleness + 2 if system.staleness else 1
        at_once = max(1, system.at_once // system.per_sampler // ahead)
        for simulator in range(min(count, episodes)):
            mine = len(range(simulator, episodes, count))
            engine = self.engines[simulator // system.per_sampler]
            started.append(self.env.process(self._play(engine, mine, at_once)))
        return started

    def _turns(self) -> int:
        system = self.system
        return (
            int(self.rng.geometric(1 / system.turns)) if system.long_tailed else round(system.turns)
        )

    def _play(self, engine: Engine, episodes: int, at_once: int) -> Process:
        """Play a job on one simulator."""
        times, outcome = self.times, self.outcome
        replies = simpy.Store(self.env)
        # Episodes by the number of replies of this job after which each has its next one: replies
        # come in the order of the contexts, since all actions have the same length.
        queue: list[tuple[int, int]] = []  # (turns that are left, version of the first token)
        done: list[int] = []
        arriving: list[simpy.Process] = []
        self.streams += 1
        for _ in range(min(at_once, episodes)):
            queue.append((self._turns(), self.version))
        new = len(queue)
        waiting = episodes - new
        while queue:
            yield from self._work(times.call + times.turn * new)
            if new:
                engine.submit(replies, new)
            count = yield replies.get()
            outcome.turns += count
            new = 0
            front, queue = queue[:count], queue[count:]
            for left, version in front:
                if left > 1:
                    queue.append((left - 1, version))
                    new += 1
                    continue
                done.append(version)
                if waiting:
                    waiting -= 1
                    queue.append((self._turns(), self.version))
                    new += 1
            if len(done) >= self.system.flush:
                arriving.append(self.env.process(self._arrive(done)))
                done = []
        if done:
            arriving.append(self.env.process(self._arrive(done)))
        yield self.env.all_of(arriving)
        self.streams -= 1

    def _arrive(self, versions: list[int]) -> Process:
        """Let the driver take a batch of episodes."""
        times = self.times
        seconds = times.batch + times.stream * self.streams + times.episode * len(versions)
        yield from self._drive(seconds)
        self.outcome.episodes += len(versions)
        for version in versions:
            yield self.ended.put(version)

    def _round(self) -> Process:
        yield self.env.all_of(self._submit(self.system.episodes))

    def _train(self) -> Process:
        """Run the training loop of `cluster.train`."""
        env, times, system, outcome = self.env, self.times, self.system, self.outcome
        for update in range(system.updates):
            rounds = min(system.staleness + 1, system.updates - update)
            taken = update * system.episodes + outcome.dropped
            yield from self._drive(times.rpc * system.samplers * system.per_sampler)
            self._submit(rounds * system.episodes - (self.started - taken))
            began, kept = env.now, 0
            while kept < system.episodes:
                version = yield self.ended.get()
                if self.version - version > system.staleness:
                    outcome.dropped += 1
                    self._submit(1)
                else:
                    kept += 1
            outcome.waited += env.now - began
            tokens = system.episodes * system.turns * system.tokens
            seconds = times.learn + times.learn_token * tokens / system.ranks
            seconds += 2 * times.bytes * (1 - 1 / system.ranks) / times.link  # ring all-reduce
            yield env.timeout(seconds)
            self.used["learner"] += seconds
            yield from self._push()
            outcome.updates.append(env.now)

    def _push(self) -> Process:
        """Send weights to all samplers, which sample nothing meanwhile."""
        env, times, samplers = self.env, self.times, self.system.samplers
        began = env.now
        opened = env.event()
        for engine in self.engines:
            engine.open = opened
        # The object store copies a bucket from every node that has it.
        copies = math.ceil(math.log2(samplers)) if samplers > 1 else 0
        yield from self._drive(4 * times.rpc * samplers)
        transfer = copies * times.bytes / times.link
        yield env.timeout(times.bytes * (times.gather + times.load) + transfer)
        self.version += 1
        for engine in self.engines:
            engine.open = None
        opened.succeed()
        yield env.timeout(times.gate)
        self.outcome.pushed += env.now - began


def simulate(times: Times, system: System) -> Outcome:
    """Return the outcome of a system.

    Args:
        times: service times.
        system: sizes of the system.
    """
    return Model(times, system).run()
