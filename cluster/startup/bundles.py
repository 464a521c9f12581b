"""The resources that a run asks Ray for: its actors, and the bundles that hold them.

A bundle is a share of one node. Ray places all actors of a bundle on the same node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmrl.errors import UsageError

if TYPE_CHECKING:
    from cluster.experiment import Experiment

Resources = dict[str, float]
"""Amounts by the name of the resource, `CPU` or `GPU`."""

RANK, SAMPLER, ORACLE, SIMULATOR = "learner rank", "sampler", "oracle", "simulator"


@dataclass(frozen=True)
class ActorSlot:
    """An actor and what it asks for.

    Attributes:
        role: `RANK`, `SAMPLER`, `ORACLE` or `SIMULATOR`.
        index: number of the actor within its role.
        resources: amounts that the actor asks for.
    """

    role: str
    index: int
    resources: Resources

    def __str__(self) -> str:
        return f"{self.role} {self.index}"


@dataclass(frozen=True)
class Bundle:
    """A share of one node.

    Attributes:
        actors: actors that the bundle holds.
        resources: amounts that are reserved.
        apart: whether the node must have no learner rank.
    """

    actors: tuple[ActorSlot, ...]
    resources: Resources
    apart: bool = False

    @property
    def learns(self) -> bool:
        """Whether the bundle holds a learner rank."""
        return any(actor.role == RANK for actor in self.actors)

    def __str__(self) -> str:
        return " with ".join(map(str, self.actors))


def bundles(exp: Experiment, device: str, learners: bool = True) -> list[Bundle]:
    """Return the bundles of a run: learner ranks, samplers, oracles, simulators.

    Args:
        exp: experiment of the run.
        device: `cpu` or `cuda`.
        learners: whether there is a learner group.
    """
    place, parallel = exp.placement, exp.sampler.tensor_parallel

    def actors(role: str, count: int, cpus: float, gpus: float = 0.0) -> list[ActorSlot]:
        amounts = {"CPU": cpus} | ({"GPU": gpus} if device == "cuda" and gpus else {})
        return [ActorSlot(role, index, amounts) for index in range(count)]

    served = exp.oracle.sampler.count if exp.oracle.served else 0
    ranks = actors(RANK, exp.learner.ranks * learners, place.learner_cpus, place.learner_gpus)
    # The workers of one engine have a GPU each.
    gpus = place.sampler_gpus if parallel == 1 else float(parallel)
    samplers = actors(SAMPLER, exp.sampler.count, place.sampler_cpus, gpus)
    others = [
        *actors(ORACLE, served, exp.oracle.cpus, exp.oracle.gpus),
        *actors(SIMULATOR, exp.simulator.count, place.simulator_cpus),
    ]
    shared: list[list[ActorSlot]] = [[rank] for rank in ranks]
    if shared and place.samplers == "colocated":
        for sampler in samplers:
            shared[sampler.index % len(shared)].append(sampler)
        samplers = []
    # NCCL refuses two ranks on one GPU, so that each bundle of several ranks has a whole one.
    least = 1.0 if len(ranks) > 1 else 0.0
    return [
        *(_bundle(actors, least) for actors in shared),
        *(_bundle([sampler], apart=place.samplers == "apart") for sampler in samplers),
        *(_bundle([other]) for other in others),
    ]


def _bundle(actors: list[ActorSlot], least: float = 0.0, apart: bool = False) -> Bundle:
    """Return the bundle of some actors.

    Args:
        actors: actors of the bundle.
        least: smallest number of GPUs that is reserved if an actor has one.
        apart: whether the node must have no learner rank.
    """
    amounts = total(actor.resources for actor in actors)
    if "GPU" in amounts:
        amounts["GPU"] = max(
            _gpus([a.resources["GPU"] for a in actors if "GPU" in a.resources]), least
        )
    return Bundle(tuple(actors), amounts, apart)


def _gpus(shares: list[float]) -> float:
    """Return how many GPUs a bundle reserves: a share of one, or whole ones.

    Args:
        shares: GPUs that each actor asks for; an actor's share lies on one GPU.
    """
    whole = sum(share for share in shares if share > 1.0)
    used: list[float] = []  # of each GPU that actors share
    for share in sorted((share for share in shares if share <= 1.0), reverse=True):
        fits = next((gpu for gpu, sum_ in enumerate(used) if sum_ + share <= 1.0 + 1e-6), None)
        if fits is None:
            used.append(share)
        else:
            used[fits] = round(used[fits] + share, 4)
    return used[0] if not whole and len(used) == 1 else whole + len(used)


def total(parts: Iterable[Resources]) -> Resources:
    """Return the sums of resources, without rounding errors of binary fractions."""
    sums: Resources = {}
    for part in parts:
        for kind, amount in part.items():
            sums[kind] = round(sums.get(kind, 0.0) + amount, 4)
    return sums


def check_placement(exp: Experiment, device: str, learners: bool = True) -> None:
    """Refuse amounts of CPUs and GPUs that Ray or vLLM cannot give, before Ray starts.

    Args:
        exp: experiment of the run.
        device: `cpu`, `cuda`, or `auto` where it is not known yet.
        learners: whether there is a learner group.

    Raises:
        UsageError: if so; the message has the field, its value and the remedy.
    """
    if device == "auto":
        return
    if device == "cuda":
        for name in ("sampler_gpus", "learner_gpus"):
            share = getattr(exp.placement, name)
            if share > 1.0 and share % 1.0:
                raise UsageError(
                    f"placement.{name} is {share:g}; Ray gives an actor a share of one GPU or "
                    "whole GPUs, so set it to 1 or less, or to a whole number"
                )
    for bundle in bundles(exp, device, learners):
        if not any(bundle.resources.values()):
            role = bundle.actors[0].role
            name = "oracle.cpus" if role == ORACLE else f"placement.{role.split()[0]}_cpus"
            raise UsageError(
                f"{bundle} asks for neither CPUs nor GPUs, and Ray cannot reserve nothing; raise "
                f"{name}"
            )
