"""Start the actors of a run and return a `Fleet` of their handles, locally and on a cluster.

All checks come first: no actor starts for a run that cannot be placed.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.chat.config import ChatConfig
from actors.sampler import Sampler
from actors.simulator import Simulator
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.health.waits import answers_of
from cluster.learner_group import LearnerGroup
from cluster.oracle import chat_actors
from cluster.startup.bundles import bundles
from cluster.startup.ray_session import ended_in_time
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.errors import RunError, UsageError
from lmrl.screen import Screen
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.trajectory import Ids

log = logging.getLogger(__name__)


def choose_device(exp: Experiment, resources: dict[str, float], learners: bool = True) -> str:
    """Return `cpu` or `cuda`, and refuse a placement that exceeds the resources.

    Args:
        exp: experiment of the run.
        resources: resources of the Ray cluster, by name.
        learners: whether there is a learner group.

    Raises:
        UsageError: if a resource is too small; the message has the needed and the existing amount.
    """
    device = exp.placement.device
    if device == "auto":
        needed = sum(b.get("GPU", 0.0) for b in bundles(exp, "cuda", learners))
        device = "cuda" if 0 < needed <= resources.get("GPU", 0.0) else "cpu"
    for kind in ("CPU", "GPU"):
        needed = sum(b.get(kind, 0.0) for b in bundles(exp, device, learners))
        there = resources.get(kind, 0.0)
        if needed > there:
            raise UsageError(
                f"the run needs {needed:g} {kind}s and Ray has {there:g}: {exp.learner.ranks} "
                f"learner rank(s), {exp.sampler.count} sampler(s), {exp.simulator.count} "
                "simulator(s); lower their number (learner.ranks, sampler.count, "
                "simulator.count) or their share (placement.*)"
            )
    if device == "cpu":
        exp.check_head_size()
        _check_cache(exp)
    return device


def _check_cache(exp: Experiment) -> None:
    """Refuse a key-value cache that exceeds the memory of every machine."""
    memory = [node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"]]
    largest = max(memory) / 2**30
    if exp.sampler.kv_gigabytes > largest:
        raise UsageError(
            f"sampler.kv_gigabytes {exp.sampler.kv_gigabytes:g} exceeds the {largest:.1f} GB of "
            "memory that Ray has on its largest machine; lower it"
        )


def probe_texts(exp: Experiment, codec: Codec, env: TextEnv) -> list[Ids]:
    """Return token sequences for the parity gate: episodes of the task, cut to the context.

    Args:
        exp: experiment of the run.
        codec: tokenizer of the policy.
        env: task of the run.
    """
    probes = []
    for seed in range(exp.push.probes):
        episode = play(env, "random", seed, exp.task, exp.options, codec)
        ids = max(episode.contexts(), key=lambda context: min(len(context), 96))
        probes.append(ids[: min(len(ids), exp.max_context, 256)])
    return probes


@contextmanager
def launch(
    exp: Experiment,
    checkpoint: Path,
    learners: bool = True,
    served: Path | None = None,
    screen: Screen | None = None,
    critic: Path | None = None,
) -> Iterator[Fleet]:
    """Start a run's actors on the Ray that is initialised, and end them with the block.

    Args:
        exp: experiment, already checked.
        checkpoint: checkpoint directory of the start policy, which every node can read.
        learners: whether there is a learner group. Without one the samplers serve the checkpoint.
        served: checkpoint directory with which samplers start; None is `checkpoint`.
        screen: screen that shows which actors are starting; None shows nothing.
        critic: checkpoint directory whose critic the learners take over; None begins with a new
            one.

    Raises:
        UsageError: if the placement exceeds the resources, or the context is too short.
        RunError: if actors are not placed or started in time.
    """
    codec = Codec.load(checkpoint, exp.format)
    env = make(exp.task, **exp.options)
    exp.check_context(codec, env)
    device = choose_device(exp, ray.cluster_resources(), learners)
    group = placement_group(bundles(exp, device, learners), strategy="PACK")
    try:
        _await_placement(group, exp)
        slots = iter(range(len(group.bundle_specs)))
        places = [_slot(group, slots) for _ in range(exp.learner.ranks)] if learners else []
        learner_group = LearnerGroup(exp, checkpoint, device, places, critic) if learners else None
        stop_ids = codec.format.stop_ids(env.stop)
        sampler_names = _names(group, "sampler", exp.sampler.count)
        samplers = [
            Sampler.options(**_slot(group, slots), name=name).remote(  # type: ignore[attr-defined]
                str(served or checkpoint),
                # A cache for more sequences than run at one time would hold nothing.
                replace(exp.sampler, max_sequences=exp.sequences),
                exp.model.context,
                stop_ids,
                device,
                None if learners else 0,
            )
            for name in sampler_names
        ]
        chat: ChatConfig | None = exp.oracle if exp.oracle.endpoint else None
        oracles: list[Any] = []
        oracle_names: list[str] = []
        version = ""
        if exp.oracle.served:
            oracle_names = _names(group, "oracle", exp.oracle.sampler.count)
            places = [{**_slot(group, slots), "name": name} for name in oracle_names]
            chat, oracles, version = chat_actors(exp.oracle, device, places)
        simulators = [
            # One thread for each job: those of the updates that are played ahead, and evaluations.
            Simulator.options(  # type: ignore[attr-defined]
                **_slot(group, slots), max_concurrency=exp.max_staleness + 2
            ).remote(
                sampler_names[i % len(samplers) :] + sampler_names[: i % len(samplers)],
                str(checkpoint),
                exp.format,
                exp.max_context,
                exp.simulator,
                chat,
                oracle_names,
                version,
            )
            for i in range(exp.simulator.count)
        ]
        _await_actors(_starting(samplers, oracles, simulators, learner_group), exp, screen)
        probes = probe_texts(exp, codec, env)
        yield Fleet(
            exp, samplers, simulators, learner_group, probes, oracles, sampler_names=sampler_names
        )
    finally:
        # The end of the placement group ends its actors, whatever the state of the run.
        ended_in_time(lambda: remove_placement_group(group))


def _starting(
    samplers: list[Any], oracles: list[Any], simulators: list[Any], learners: LearnerGroup | None
) -> dict[Any, str]:
    """Return the name of each actor, by a reference that it fills once it has started."""
    roles = (("sampler", samplers), ("oracle", oracles), ("simulator", simulators))
    waits = {
        actor.state.remote(): f"{role} {index}"
        for role, actors in roles
        for index, actor in enumerate(actors)
    }
    ranks = learners.ready() if learners else []
    return waits | {ref: f"learner rank {rank}" for rank, ref in enumerate(ranks)}


def _names(group: PlacementGroup, role: str, count: int) -> list[str]:
    """Return actor names that no other run on the same Ray cluster has."""
    return [f"{role}-{index}-{group.id.hex()[:12]}" for index in range(count)]


def _slot(group: PlacementGroup, slots: Iterator[int]) -> dict[str, Any]:
    index = next(slots)
    spec = group.bundle_specs[index]
    return {
        "num_cpus": spec.get("CPU", 0.0),
        "num_gpus": spec.get("GPU", 0.0),
        "scheduling_strategy": PlacementGroupSchedulingStrategy(
            group, placement_group_bundle_index=index
        ),
    }


def _await_placement(group: PlacementGroup, exp: Experiment) -> None:
    if not group.wait(timeout_seconds=exp.placement.timeout):
        raise RunError(
            f"Ray could not place the run within {exp.placement.timeout:g} s: its bundles "
            f"{group.bundle_specs} do not fit the free part of {ray.available_resources()}; wait "
            "for other jobs, or lower placement.*"
        )


def _await_actors(waits: dict[Any, str], exp: Experiment, screen: Screen | None) -> None:
    """Wait until every actor has started.

    Args:
        waits: names of the actors, by a reference that each of them fills once it has started.
        exp: experiment of the run.
        screen: screen that shows which of them are still starting; None shows nothing.
    """
    deadline = time.monotonic() + exp.placement.timeout
    late = list(waits)
    screen = screen or Screen()
    with screen.stage("launch", "actors", _waiting(waits, late), len(waits)) as stage:
        while late:
            patience = max(0.0, deadline - time.monotonic())
            ready, late = ray.wait(late, num_returns=1, timeout=patience)
            if not ready:
                raise RunError(
                    f"{len(late)} of {len(waits)} actors did not start within "
                    f"{exp.placement.timeout:g} s ({_waiting(waits, late)}); see the worker logs "
                    "in Ray's session directory, or raise placement.timeout"
                )
            with answers_of(f"{waits[ready[0]]}, which was starting,"):
                ray.get(ready)  # raises what its constructor raised
            screen.advance(stage, len(waits) - len(late), _waiting(waits, late))


def _waiting(waits: dict[Any, str], late: list[Any]) -> str:
    return "waiting for " + ", ".join(waits[ref] for ref in late) if late else ""
