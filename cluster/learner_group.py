"""`LearnerGroup`: the DeepSpeed ranks as one object.

Every call goes to all ranks, since most calls are collectives. Every wait has a time limit, and the
error names the ranks that did not finish.
"""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from cluster.experiment import Experiment
from cluster.waits import NoAnswer, answers_of, fetch
from learners.algorithms.base import Metrics
from learners.learner import Learner
from lmrl.trajectory import Ids


@ray.remote
class _Host:
    """An actor that finds an address on the node where rank 0 will run."""

    def endpoint(self) -> tuple[str, int]:
        """Return the node's IP address and a free port."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]


class LearnerGroup:
    """The ranks of the learner.

    Args:
        exp: experiment of the run.
        checkpoint: checkpoint directory of the start policy.
        device: `cpu` or `cuda`.
        slots: Ray options of each rank's actor.
        critic: checkpoint directory whose critic is taken over; None begins with a new one.
    """

    def __init__(
        self,
        exp: Experiment,
        checkpoint: Path,
        device: str,
        slots: list[dict[str, Any]],
        critic: Path | None = None,
    ) -> None:
        self.exp, self.checkpoint = exp, checkpoint
        host = _Host.options(**slots[0]).remote()  # type: ignore[attr-defined]
        address, port = fetch(
            host.endpoint.remote(), exp.placement.timeout, "the node of learner rank 0"
        )
        ray.kill(host)
        rank_class = ray.remote(Learner)
        self.ranks = [
            rank_class.options(**slot).remote(
                exp.algorithm,
                exp.learner,
                str(checkpoint),
                exp.max_context,
                rank,
                len(slots),
                address,
                port,
                device,
                exp.seed,
                exp.updates,
                exp.format,
                None if critic is None else str(critic),
            )
            for rank, slot in enumerate(slots)
        ]

    def ready(self) -> list[Any]:
        """Return references whose values are available once the ranks have started."""
        return [rank.ready.remote() for rank in self.ranks]

    def update(self, tables: list[Any], auxiliary: list[Any] | None = None) -> Metrics:
        """Learn from episodes and return metrics; see `Learner.update`.

        Tables are put into the object store once, and all ranks map them.
        """
        shared = ray.put(tables)
        extra = ray.put(auxiliary) if auxiliary else None
        metrics: Metrics = self._all("update", lambda rank: rank.update.remote(shared, extra))[0]
        return metrics

    def probe(self, probes: list[Ids]) -> list[Any]:
        """Return log-probabilities of probes under the current weights; see `Learner.probe`."""
        result: list[Any] = self._all("probe", lambda rank: rank.probe.remote(probes))[0]
        return result

    def sizes(self) -> dict[str, float]:
        """Return `parameters` and `trainable` ones, the `optimiser_state` of all ranks together in
        elements, and the `peak_memory_gb` and `peak_gpu_memory_gb` of the largest rank."""
        ranks: list[dict[str, float]] = self._all("sizes", lambda rank: rank.sizes.remote())
        return ranks[0] | {
            "optimiser_state": sum(rank["optimiser_state"] for rank in ranks),
            **{
                name: round(max(rank[name] for rank in ranks), 2)
                for name in ("peak_memory_gb", "peak_gpu_memory_gb")
            },
        }

    def inspect(self, table: Any) -> Any:
        """Return what the learner knows about some episodes; see `Learner.inspect`."""
        shared = ray.put(table)
        return self._all("inspect", lambda rank: rank.inspect.remote(shared))[0]

    def buckets(self, size: int) -> Iterator[Any]:
        """Yield references to weight buckets, which this process owns, as rank 0 makes them.

        Args:
            size: largest number of bytes of a bucket.

        Raises:
            RunError: if a rank does not make its next bucket in time.
        """
        streams = [
            rank.weights.options(num_returns="streaming").remote(size) for rank in self.ranks
        ]
        yield from self._items(0, streams[0])
        for rank, other in enumerate(streams[1:], 1):
            for _ in self._items(rank, other):
                pass

    def _items(self, rank: int, stream: Any) -> Iterator[Any]:
        while True:
            ready, _ = ray.wait([stream], num_returns=1, timeout=self.exp.learner.timeout)
            if not ready:
                raise self._late([rank], "weights")
            try:
                item = next(stream)
            except StopIteration:
                return
            yield item

    def release(self) -> None:
        """Return the ranks' unused GPU memory to the device; see `Learner.release`."""
        self._all("release", lambda rank: rank.release.remote())

    def save(self, folder: Path) -> None:
        """Write a checkpoint into an existing folder."""
        self._all("save", lambda rank: rank.save.remote(str(folder)))

    def load(self, folder: Path) -> None:
        """Restore a checkpoint."""
        self._all("load", lambda rank: rank.load.remote(str(folder)))

    def _all(self, what: str, call: Callable[[Any], Any]) -> list[Any]:
        """Call every rank and wait; the first error is raised at once.

        The other ranks may then wait in a collective that will never complete. Only the end of the
        group, which is up to the caller, stops them.
        """
        calls = [call(rank) for rank in self.ranks]
        deadline = time.monotonic() + self.exp.learner.timeout
        open_calls = list(calls)
        while open_calls:
            left = max(0.0, deadline - time.monotonic())
            ready, open_calls = ray.wait(open_calls, num_returns=1, timeout=left)
            if not ready:
                names = [rank for rank, ref in enumerate(calls) if ref in open_calls]
                raise self._late(names, what)
            with answers_of(f"learner rank {calls.index(ready[0])}"):
                ray.get(ready)
        return ray.get(calls)

    def _late(self, ranks: list[int], what: str) -> NoAnswer:
        return NoAnswer(
            f"learner rank(s) {ranks} did not finish '{what}' within "
            f"{self.exp.learner.timeout:g} s; raise learner.timeout, or see the worker logs in "
            "Ray's session directory"
        )
