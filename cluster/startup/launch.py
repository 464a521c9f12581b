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

from actors.chat.config import ChatConfig
from actors.sampler import SamplerActor
from actors.simulator import SimulatorActor
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.health.waits import answers_of
from cluster.learner_group import LearnerGroup
from cluster.oracle import chat_actors
from cluster.startup.bundles import ORACLE, RANK, SAMPLER, SIMULATOR, bundles
from cluster.startup.placement import reserved
from cluster.startup.preflight import choose_device, cluster_nodes
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.errors import RunError
from lmrl.screen import Screen
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.trajectory import Ids

log = logging.getLogger(__name__)


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
    device = choose_device(exp, cluster_nodes(), learners)
    with reserved(bundles(exp, device, learners), exp) as places:
        ranks = places.of(RANK)
        learner_group = LearnerGroup(exp, checkpoint, device, ranks, critic) if learners else None
        stop_ids = codec.format.stop_ids(env.stop)
        sampler_names = places.names(SAMPLER)
        samplers = [
            SamplerActor.options(**slot, name=name).remote(
                str(served or checkpoint),
                # A cache for more sequences than run at one time would hold nothing.
                replace(exp.sampler, max_sequences=exp.sequences),
                exp.model.context,
                stop_ids,
                device,
                None if learners else 0,
            )
            for slot, name in zip(places.of(SAMPLER), sampler_names, strict=True)
        ]
        chat: ChatConfig | None = exp.oracle if exp.oracle.endpoint else None
        oracles: list[Any] = []
        oracle_names = places.names(ORACLE)
        version = ""
        if exp.oracle.served:
            slots = zip(places.of(ORACLE), oracle_names, strict=True)
            named = [{**slot, "name": name} for slot, name in slots]
            chat, oracles, version = chat_actors(exp.oracle, device, named)
        simulators = [
            # One thread for each job: those of the updates that are played ahead, and evaluations.
            SimulatorActor.options(**slot, max_concurrency=exp.max_staleness + 2).remote(
                sampler_names[i % len(samplers) :] + sampler_names[: i % len(samplers)],
                str(checkpoint),
                exp.format,
                exp.max_context,
                exp.simulator,
                chat,
                oracle_names,
                version,
            )
            for i, slot in enumerate(places.of(SIMULATOR))
        ]
        _await_actors(_starting(samplers, oracles, simulators, learner_group), exp, screen)
        probes = probe_texts(exp, codec, env)
        yield Fleet(
            exp, samplers, simulators, learner_group, probes, oracles, sampler_names=sampler_names
        )


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
