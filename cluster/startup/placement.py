"""Reservation of a run's bundles in Ray, and the options with which its actors start in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.experiment import Experiment
from cluster.startup.bundles import Bundle
from cluster.startup.ray_session import ended_in_time
from lmrl.errors import RunError

NODE = "ray.io/node-id"
"""Label of every node, with its id as the value."""


@dataclass
class Places:
    """Where the actors of a run start.

    Attributes:
        options: Ray options of each actor, by its role and its index.
        tag: text that no other run on the same cluster has.
    """

    options: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    tag: str = ""

    def of(self, role: str) -> list[dict[str, Any]]:
        """Return the Ray options of a role's actors, in order; empty if there are none."""
        return [slot for _, slot in sorted(self.options.get(role, {}).items())]

    def names(self, role: str) -> list[str]:
        """Return actor names that no other run on the same cluster has."""
        return [f"{role}-{index}-{self.tag}" for index in range(len(self.of(role)))]


@contextmanager
def reserved(wanted: list[Bundle], exp: Experiment) -> Iterator[Places]:
    """Reserve bundles on the cluster; at the end of the block release them and end their actors.

    A bundle whose node is lost gets another node as soon as one has space, and Ray restarts its
    actors there.

    Args:
        wanted: bundles of the run.
        exp: experiment of the run.

    Raises:
        RunError: if they are not placed in time.
    """
    groups: list[PlacementGroup] = []
    try:
        places, learning = Places(), set[str]()
        # Nodes of the learners have to be known before others can be kept away from them.
        first = [bundle for bundle in wanted if bundle.learns]
        rest = [bundle for bundle in wanted if not bundle.learns]
        apart = first and any(bundle.apart for bundle in wanted)
        for part in [first, rest] if apart else [wanted]:
            away = {NODE: f"!in({','.join(sorted(learning))})"}
            group = placement_group(
                [bundle.resources for bundle in part],
                strategy=exp.placement.strategy.upper(),
                bundle_label_selector=[away if b.apart and learning else {} for b in part],
            )
            groups.append(group)
            _await(group, part, exp)
            learning |= set(placement_group_table(group)["bundles_to_node_id"].values())
            places.tag = places.tag or group.id.hex()[:12]
            _add(places, group, part)
        yield places
    finally:
        # The end of a placement group ends its actors, whatever the state of the run.
        for group in groups:
            ended_in_time(lambda group=group: remove_placement_group(group))  # type: ignore[misc]


def _add(places: Places, group: PlacementGroup, part: list[Bundle]) -> None:
    """Add the options of a group's actors."""
    for index, bundle in enumerate(part):
        for actor in bundle.actors:
            places.options.setdefault(actor.role, {})[actor.index] = {
                "num_cpus": actor.resources.get("CPU", 0.0),
                "num_gpus": actor.resources.get("GPU", 0.0),
                "scheduling_strategy": PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=index
                ),
            }


def _await(group: PlacementGroup, part: list[Bundle], exp: Experiment) -> None:
    if not group.wait(timeout_seconds=exp.placement.timeout):
        raise RunError(
            f"Ray could not place {', '.join(map(str, part))} within {exp.placement.timeout:g} s: "
            f"the bundles {group.bundle_specs} do not fit the free part of "
            f"{ray.available_resources()}; wait for other jobs or for nodes that are starting, or "
            "lower placement.*"
        )
