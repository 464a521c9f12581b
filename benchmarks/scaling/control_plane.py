"""The control plane on this machine: real Ray actors and messages, engines replaced by timers."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray

from actors.messages import Decoding, EpisodeId, Job
from actors.simulator import SimulatorActor
from benchmarks.scaling.model import System
from benchmarks.scaling.timed import TimedSamplerActor
from benchmarks.scaling.times import Times
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.stream import EpisodeStream
from lmrl.errors import RunError
from lmrl.tokens.codec import Codec

TASK = "maze-fo"

RESERVE = 2.0
"""Memory that stays free, in GB. Sizes that would need it are not measured."""

RPCS = 200
"""Number of calls from which the driver's time for one is computed."""

START = 600.0
"""Time limit for the start of all actors, in seconds."""


@dataclass
class Plane:
    """Actors, of which each measurement uses the first ones.

    Attributes:
        exp: experiment, for the limits of the stream.
        checkpoint: checkpoint directory with a tokenizer.
        times: service times of the engine.
        per_sampler: number of simulators of each sampler.
        samplers, simulators: actor handles.
        each: memory of a sampler with its simulators, in GB.
    """

    exp: Experiment
    checkpoint: Path
    times: Times
    per_sampler: int
    samplers: list[Any] = field(default_factory=list)
    simulators: list[Any] = field(default_factory=list)
    each: float = 1.0

    def grow(self, samplers: int) -> bool:
        """Start actors until there are so many samplers; return False if memory is too small."""
        missing = samplers - len(self.samplers)
        free = psutil.virtual_memory().available / 2**30
        if missing * self.each > free - RESERVE:
            return False
        codec = Codec.load(self.checkpoint, self.exp.format)
        new = []
        for number in range(len(self.samplers), samplers):
            name = f"timed-{self.per_sampler}-{number}"
            sampler = TimedSamplerActor.options(name=name, num_cpus=0).remote(
                self.times, codec.vocab_size
            )
            players = [
                SimulatorActor.options(num_cpus=0).remote(
                    [name],
                    str(self.checkpoint),
                    self.exp.format,
                    self.exp.max_context,
                    self.exp.simulator,
                )
                for _ in range(self.per_sampler)
            ]
            self.samplers.append(sampler)
            self.simulators += players
            new += [sampler, *players]
        states = [actor.state.remote() for actor in new]
        ready, late = ray.wait(states, num_returns=len(states), timeout=START) if new else ([], [])
        if late:
            raise RunError(f"{len(late)} of {len(new)} actors did not start within {START:g} s")
        ray.get(ready)
        if missing > 0:
            used = free - psutil.virtual_memory().available / 2**30
            self.each = max(0.05, used / missing)
        return True

    def end(self) -> None:
        """End all actors."""
        for actor in self.samplers + self.simulators:
            ray.kill(actor)


def seconds_of(pids: list[int]) -> float:
    """Return the CPU time that processes have used, in seconds."""
    spent = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(times.user + times.system for times in spent))


def measure(plane: Plane, system: System) -> dict[str, float]:
    """Play a round of episodes and return what it took.

    Args:
        plane: actors, at least those of the system.
        system: sizes; the episodes' numbers of turns are those of the task's limit.
    """
    samplers = plane.samplers[: system.samplers]
    simulators = plane.simulators[: system.samplers * system.per_sampler]
    fleet = Fleet(plane.exp, samplers, simulators, None, [])
    # The monitor asks all actors once a second, as in a run.
    stream = EpisodeStream(fleet)
    before = ray.get([actor.state.remote() for actor in samplers])
    pids = [state["pid"] for state in before]
    pids += [state["pid"] for state in ray.get([actor.state.remote() for actor in simulators])]
    cpu, own = seconds_of(pids), time.process_time()
    began = time.perf_counter()
    stream.submit(
        Job(
            TASK,
            {"max_steps": round(system.turns)},
            [EpisodeId(system.seed + number) for number in range(system.episodes)],
            Decoding(max_tokens=system.tokens, seed=system.seed),
            at_once=system.at_once * system.samplers,
        )
    )
    turns = episodes = 0
    while stream.open:
        for finished in stream.collect():
            table = finished.table
            episodes += table.num_rows
            turns += len(table["turns"].combine_chunks().flatten())
    seconds = time.perf_counter() - began
    own, cpu = time.process_time() - own, seconds_of(pids) - cpu
    after = ray.get([actor.state.remote() for actor in samplers])

    def rise(name: str) -> float:
        return float(sum(b[name] - a[name] for a, b in zip(before, after, strict=True)))

    if episodes != system.episodes:
        raise RunError(f"{episodes} of {system.episodes} episodes came back; see Ray's worker logs")
    return {
        "seconds": seconds,
        "turns": turns,
        "turns_per_s": turns / seconds,
        "calls": rise("calls"),
        "actors_cpu_seconds": cpu,
        "driver_cpu_seconds": own,
        "engine_busy": rise("busy_seconds") / seconds / len(samplers),
    }


def idle(plane: Plane, simulators: int, seconds: float = 5.0) -> tuple[float, float]:
    """Return the shares of a core that the first sampler's actors, and the driver, use while idle.

    Args:
        plane: actors.
        simulators: number of simulators of a sampler.
        seconds: time of the measurement, in seconds.
    """
    actors = [plane.samplers[0], *plane.simulators[:simulators]]
    pids = [state["pid"] for state in ray.get([actor.state.remote() for actor in actors])]
    cpu, own = seconds_of(pids), time.process_time()
    time.sleep(seconds)
    return (seconds_of(pids) - cpu) / seconds, (time.process_time() - own) / seconds


def costs(plane: Plane, system: System) -> tuple[Times, list[dict[str, float]]]:
    """Return the control plane's own service times, from rounds of one sampler.

    The CPU time of a round is that of its calls and its turns. One episode at a time has a call
    for each turn, and many at a time share calls.

    Args:
        plane: actors.
        system: sizes of the measurement.
    """
    rows = []
    for at_once in (1, 4 * system.at_once):
        count = 4 * at_once if at_once > 1 else 8
        one = replace(system, samplers=1, at_once=at_once, episodes=count)
        rows.append(measure(plane, one))
    # Processes of Ray compute also while nothing is asked of them.
    actors, driver = idle(plane, system.per_sampler)
    calls = np.array([[row["calls"], row["turns"]] for row in rows])
    spent = np.array([row["actors_cpu_seconds"] - actors * row["seconds"] for row in rows])
    call, turn = np.maximum(0.0, np.linalg.lstsq(calls, spent, rcond=None)[0])
    last = rows[-1]
    busy = max(0.0, last["driver_cpu_seconds"] - driver * last["seconds"])
    per_episode = busy * system.turns / last["turns"]
    asked = plane.samplers[0]
    own = time.process_time()
    ray.get([asked.state.remote() for _ in range(RPCS)])
    rpc = (time.process_time() - own) / RPCS
    return replace(
        plane.times,
        call=float(call),
        turn=float(turn),
        episode=per_episode,
        stream=wait_cost(),
        poll=rpc,
        rpc=rpc,
    ), rows


class _Silent:
    """An actor that answers after a time."""

    def answer(self, seconds: float) -> None:
        time.sleep(seconds)


def wait_cost(streams: int = 1000, repeats: int = 20) -> float:
    """Return the time of the driver's wait for one of several streams, in seconds for each of them.

    Args:
        streams: number of references that are not ready.
        repeats: number of waits.
    """
    actor = ray.remote(num_cpus=0, max_concurrency=2)(_Silent).remote()
    silent = [actor.answer.remote(60.0) for _ in range(streams)]
    ready = ray.put(0)
    began = time.perf_counter()
    for _ in range(repeats):
        ray.wait([*silent, ready], num_returns=1, timeout=1.0)
    seconds = (time.perf_counter() - began) / repeats
    ray.kill(actor)
    return seconds / streams
