"""Checks of a cluster before any actor starts: what fits, which versions differ, what is shared.

Each refusal is one sentence with the bundle, the package or the node, and the remedy.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray._private.state import state as ray_state
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.experiment import Experiment
from cluster.health.waits import answers_of
from cluster.startup.bundles import Bundle, Resources, bundles, check_placement, total
from cluster.startup.node_facts import NodeFacts, node_facts
from lmrl.errors import RunError, UsageError

ANSWER = 25.0
"""Time limit of all nodes' answers together, in seconds."""

UNLIMITED = 1000
"""Number of nodes that an autoscaler without a limit is taken to start."""

SHOWN = 6
"""Largest number of nodes in a message."""


class Node(NamedTuple):
    """A node that is there, or that the autoscaler may start.

    Attributes:
        name: address of the node, or group of nodes of the autoscaler.
        resources: all of its resources, `memory` in bytes.
    """

    name: str
    resources: Resources


def preflight(exp: Experiment, folder: Path) -> None:
    """Refuse a cluster on which a run cannot work, within half a minute and before any actor.

    Args:
        exp: experiment of the run.
        folder: run directory.

    Raises:
        UsageError: if a bundle fits no node, the nodes differ in the versions of packages, or they
            do not share the run directory.
        RunError: if a node does not answer.
    """
    choose_device(exp, cluster_nodes())
    check_nodes(folder)


def cluster_nodes() -> list[Node]:
    """Return the nodes of the cluster, with those that its autoscaler may start."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    found = [Node(node["NodeManagerAddress"], node["Resources"]) for node in alive]
    config = ray_state.get_cluster_config()
    if config is None:  # no autoscaler
        return found
    every = ray._private.worker.global_worker.gcs_client.get_all_node_info()
    ids = {node["NodeID"] for node in alive}
    groups = [info.node_type_name for node, info in every.items() if node.hex() in ids]
    for group in config.node_group_configs:
        there = groups.count(group.name)
        more = group.max_count - there if group.max_count >= 0 else UNLIMITED
        name = f"node of group {group.name}, which the autoscaler may start"
        found += [Node(name, dict(group.resources))] * more
    return found


def choose_device(exp: Experiment, nodes: Sequence[Node], learners: bool = True) -> str:
    """Return `cpu` or `cuda`, and refuse a placement that exceeds the nodes.

    Args:
        exp: experiment of the run.
        nodes: nodes of the cluster.
        learners: whether there is a learner group.

    Raises:
        UsageError: if a bundle cannot be placed; the message has the bundle and the nodes.
    """
    device = exp.placement.device
    if device == "auto":
        needed = total(b.resources for b in bundles(exp, "cuda", learners)).get("GPU", 0.0)
        there = total(node.resources for node in nodes).get("GPU", 0.0)
        device = "cuda" if 0 < needed <= there else "cpu"
    check_placement(exp, device, learners)
    wanted = bundles(exp, device, learners)
    reason = _in_total(wanted, nodes) or _of_a_kind(wanted, nodes)
    if reason:
        raise UsageError(
            f"{reason}; the nodes have {_list(nodes)}. Lower the number of actors (learner.ranks, "
            "sampler.count, simulator.count) or their share (placement.*), or add nodes"
        )
    if device == "cpu":
        exp.check_head_size()
        _check_cache(exp, nodes)
    return device


def _in_total(wanted: Sequence[Bundle], nodes: Sequence[Node]) -> str:
    """Return what exceeds the resources of all nodes together; empty if nothing does."""
    there = total(node.resources for node in nodes)
    for kind in ("CPU", "GPU"):
        used: Resources = {}
        for bundle in wanted:
            used = total([used, bundle.resources])
            if used.get(kind, 0.0) > there.get(kind, 0.0):
                needed = total(bundle.resources for bundle in wanted)[kind]
                return (
                    f"{bundle} cannot be placed: it needs {_words(bundle.resources)}, and the run "
                    f"needs {needed:g} {kind}s in total where Ray has {there.get(kind, 0.0):g}"
                )
    return ""


def _of_a_kind(wanted: Sequence[Bundle], nodes: Sequence[Node]) -> str:
    """Return the bundle of which there are more than all nodes hold; empty if there is none.

    A bundle is counted with all that need at least as much of everything, since each of these takes
    the place of one of it.
    """
    for bundle in wanted:
        like = [other for other in wanted if _at_least(other, bundle)]
        fits = [_times(bundle, node) for node in nodes]
        ranks = [other for other in wanted if other.learns and bundle.apart]
        # The learners take at least one node; in the best case that with the fewest places.
        pairs = zip(fits, nodes, strict=True)
        hosts = [fit for fit, node in pairs if any(_times(rank, node) for rank in ranks)]
        places = sum(fits) - min(hosts, default=0)
        if len(like) > places:
            where = " on nodes without a learner rank (placement.samplers apart)" if ranks else ""
            return (
                f"{like[places]} cannot be placed: it needs {_words(like[places].resources)} on "
                f"one node, the nodes hold {places} of such bundles{where}, and the run has "
                f"{len(like)}"
            )
    return ""


def _at_least(other: Bundle, bundle: Bundle) -> bool:
    """Return whether a bundle needs at least as much as another, under the same conditions."""
    enough = all(other.resources.get(kind, 0.0) >= n for kind, n in bundle.resources.items())
    return enough and (other.apart or not bundle.apart)


def _times(bundle: Bundle, node: Node) -> int:
    """Return how many such bundles an empty node holds."""
    needed = {kind: amount for kind, amount in bundle.resources.items() if amount > 0}
    # A small excess: amounts are multiples of 1e-4, which binary fractions round.
    return int(min(node.resources.get(kind, 0.0) / n + 1e-6 for kind, n in needed.items()))


def _words(resources: Resources) -> str:
    """Return resources as words, like `1 CPU and 0.5 GPUs`."""
    parts = [
        f"{resources[kind]:g} {kind}{'' if resources[kind] == 1 else 's'}"
        for kind in ("CPU", "GPU")
        if resources.get(kind, 0.0) or kind == "CPU"
    ]
    return " and ".join(parts).replace("0 CPUs", "no CPU") if parts else "nothing"


def _list(nodes: Sequence[Node]) -> str:
    """Return the nodes with their resources, equal ones together."""
    kinds: dict[tuple[str, str], int] = {}
    for node in nodes:
        kind = (_words(node.resources), node.name)
        kinds[kind] = kinds.get(kind, 0) + 1
    shown = [
        f"{words} ({name}{f', {count} of them' if count > 1 else ''})"
        for (words, name), count in list(kinds.items())[:SHOWN]
    ]
    more = [f"and {len(kinds) - SHOWN} more kinds"] if len(kinds) > SHOWN else []
    return ", ".join(shown + more) or "none"


def _check_cache(exp: Experiment, nodes: Sequence[Node]) -> None:
    """Refuse a key-value cache that exceeds the memory of every machine."""
    largest = max(node.resources.get("memory", 0.0) for node in nodes) / 2**30
    if exp.sampler.kv_gigabytes > largest:
        raise UsageError(
            f"sampler.kv_gigabytes {exp.sampler.kv_gigabytes:g} exceeds the {largest:.1f} GB of "
            "memory that Ray has on its largest machine; lower it"
        )


def check_nodes(folder: Path) -> None:
    """Refuse nodes that have other versions than this process, or that do not share a folder.

    Nodes that join the cluster later are not checked.

    Args:
        folder: run directory, which exists.

    Raises:
        UsageError: if a node differs; the message has the node and the difference.
        RunError: if a node does not answer in time.
    """
    here = ray.get_runtime_context().get_node_id()
    others = {
        node["NodeID"]: f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]})"
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here and node["Resources"].get("CPU")
    }
    if not others:
        return
    with _nonce(folder) as nonce:
        facts = _ask(others, folder, nonce)
        missing = [node for node in others if not (folder / f"{nonce}.{node[:8]}").exists()]
    for node, name in others.items():
        reason = facts[node].folder_error or (node in missing and "writes to another folder")
        if reason:
            raise UsageError(
                f"the run directory {folder} is not shared by the nodes: {name} {reason}; choose "
                "a --run-dir on a file system that every node mounts at the same path"
            )
    own = node_facts().versions
    for node, name in others.items():
        differ = [
            f"{package} {found} (here {own[package]})"
            for package, found in facts[node].versions.items()
            if found != own[package]
        ]
        if differ:
            raise UsageError(
                f"{name} has other versions than this one: {', '.join(differ)}; install the same "
                "versions on all nodes, and submit the run as a job so that all have the same "
                "source"
            )


@contextmanager
def _nonce(folder: Path) -> Iterator[str]:
    """Yield the name of a file in a folder that holds its own name; remove it and its replies."""
    nonce = f".preflight-{secrets.token_hex(8)}"
    (folder / nonce).write_text(nonce)
    try:
        yield nonce
    finally:
        for path in folder.glob(f"{nonce}*"):
            path.unlink(missing_ok=True)


def _ask(others: dict[str, str], folder: Path, nonce: str) -> dict[str, NodeFacts]:
    """Return the facts of nodes.

    Args:
        others: names of the nodes for messages, by their ids.
        folder: run directory.
        nonce: name of the file in it.
    """
    asked: dict[Any, str] = {
        ray.remote(node_facts)
        .options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote(str(folder.resolve()), nonce, f"{nonce}.{node[:8]}"): node
        for node in others
    }
    _, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER)
    if late:
        raise RunError(
            f"{', '.join(others[asked[ref]] for ref in late)} did not start a process within "
            f"{ANSWER:g} s; see the logs of Ray there, remove the node, or try again"
        )
    found = {}
    for ref, node in asked.items():
        with answers_of(others[node]):
            found[node] = _facts(ref, others[node])
    return found


def _facts(ref: Any, name: str) -> NodeFacts:
    """Return the facts of a node that has answered.

    Args:
        ref: reference of its answer.
        name: name of the node, for the message.
    """
    try:
        facts: NodeFacts = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if "failed to import" not in str(error.cause):
            raise
        raise UsageError(
            f"{name} cannot import this project, or has another 'cluster' before it; submit the "
            "run as a job, or install the project on every node"
        ) from error
    return facts
