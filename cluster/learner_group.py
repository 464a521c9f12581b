"""`LearnerGroup`: the DeepSpeed ranks as one object, which forms again when ranks are lost.

Every call goes to all ranks, since most calls are collectives. Every wait has a time limit, and the
error names the ranks that did not finish.

If the process of a rank ends or does not respond, all ranks are ended, since the others may wait
for it in a collective. New ones load the last checkpoint and learn again from the episodes of the
updates since, which wait in the object store. They then have the weights that were lost, and the
call is made again: no episode is lost, and the caller does not notice.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from cluster.experiment import Experiment
from cluster.health.heartbeat import Heartbeat
from cluster.health.waits import ActorLost, NoAnswer, answers_of, fetch
from learners.algorithms.base import Metrics
from learners.learner import Learner
from lmrl.errors import RunError
from lmrl.interrupt import stopping
from lmrl.trajectory import Ids

log = logging.getLogger(__name__)

RECOVERIES = 3
"""Largest number of times that the group forms again without an update in between; once more stops
the run."""

DEATH = 10.0
"""Time limit for the answer that a rank lives, when another one raised an error, in seconds."""

UNSAVED_BYTES = 2**28
"""Size of the episodes since the last checkpoint above which another one is due."""

HEALTH = "health"
"""Concurrency group of a rank whose thread answers while another one computes."""


class RanksLost(ActorLost):
    """Learner ranks whose process ended, or which do not respond."""


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

    Attributes:
        ranks: actor handles.
        recovered: function that is called with the reason and the seconds of each recovery.
    """

    def __init__(
        self,
        exp: Experiment,
        checkpoint: Path,
        device: str,
        slots: list[dict[str, Any]],
        critic: Path | None = None,
    ) -> None:
        self.exp, self.checkpoint, self.critic = exp, checkpoint, critic
        self.device, self.slots = device, slots
        self.recovered: Callable[[str, float], None] = lambda reason, seconds: None
        self.ranks: list[Any] = []
        # What the last checkpoint lacks: the references of the inputs of each update since.
        self._saved: Path | None = None
        self._since: list[tuple[Any, Any]] = []
        self.unsaved_bytes = self._recoveries = 0
        self._form()

    def _form(self) -> None:
        """Start the ranks; `ready` tells when they have started."""
        exp, slots = self.exp, self.slots
        host = ray.remote(_Host).options(**slots[0]).remote()
        address, port = fetch(
            host.endpoint.remote(), exp.placement.timeout, "the node of learner rank 0"
        )
        ray.kill(host)
        rank_class = ray.remote(concurrency_groups={HEALTH: 1})(Learner)
        self.ranks = [
            rank_class.options(**slot).remote(
                exp.algorithm,
                exp.learner,
                str(self.checkpoint),
                exp.max_context,
                rank,
                len(slots),
                address,
                port,
                self.device,
                exp.seed,
                exp.updates,
                exp.format,
                None if self.critic is None else str(self.critic),
            )
            for rank, slot in enumerate(slots)
        ]

    def ready(self) -> list[Any]:
        """Return references whose values are available once the ranks have started."""
        return [self._alive(rank) for rank in self.ranks]

    @staticmethod
    def _alive(rank: Any) -> Any:
        return rank.ready.options(concurrency_group=HEALTH).remote()

    def update(self, tables: list[Any], auxiliary: list[Any] | None = None) -> Metrics:
        """Learn from episodes and return metrics; see `Learner.update`.

        Tables are put into the object store once, and all ranks map them.
        """
        inputs = ray.put(tables), ray.put(auxiliary) if auxiliary else None
        metrics = self._recovering(lambda: self._update(inputs))
        self._since.append(inputs)
        self.unsaved_bytes += sum(table.nbytes for table in [*tables, *(auxiliary or [])])
        self._recoveries = 0
        return metrics

    def _update(self, inputs: tuple[Any, Any]) -> Metrics:
        metrics: Metrics = self._all("update", lambda rank: rank.update.remote(*inputs))[0]
        return metrics

    def probe(self, probes: list[Ids]) -> list[Any]:
        """Return log-probabilities of probes under the current weights; see `Learner.probe`."""
        result: list[Any] = self._call("probe", lambda rank: rank.probe.remote(probes))[0]
        return result

    def sizes(self) -> dict[str, float]:
        """Return `parameters` and `trainable` ones, the `optimiser_state` of all ranks together in
        elements, and the `peak_memory_gb` and `peak_gpu_memory_gb` of the largest rank."""
        ranks: list[dict[str, float]] = self._call("sizes", lambda rank: rank.sizes.remote())
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
        return self._call("inspect", lambda rank: rank.inspect.remote(shared))[0]

    def buckets(self, size: int) -> Iterator[Any]:
        """Yield references to weight buckets, which this process owns, as rank 0 makes them.

        Args:
            size: largest number of bytes of a bucket.

        Raises:
            RanksLost: if a rank is lost; `recover` forms the group again, and the caller begins
                with the first bucket.
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
            for _ in self._ready({stream: rank}, "weights"):
                try:
                    item = next(stream)
                except StopIteration:
                    return
                yield item

    def release(self) -> None:
        """Return the ranks' unused GPU memory to the device; see `Learner.release`."""
        self._call("release", lambda rank: rank.release.remote())

    def save(self, folder: Path) -> None:
        """Write a checkpoint into an existing folder."""
        self._call("save", lambda rank: rank.save.remote(str(folder)))

    def saved(self, folder: Path) -> None:
        """Note that a checkpoint is whole: lost ranks are restored from it.

        Args:
            folder: final name of the folder that `save` wrote.
        """
        self._saved, self._since, self.unsaved_bytes = folder, [], 0

    def load(self, folder: Path) -> None:
        """Restore a checkpoint."""
        self.saved(folder)
        self._recovering(self._restore)

    def _restore(self) -> None:
        """Give the ranks the state of the last checkpoint and of the updates since."""
        if self._saved is not None:
            folder = str(self._saved)
            self._all("load", lambda rank: rank.load.remote(folder))
        for inputs in self._since:
            self._update(inputs)

    def _call(self, what: str, call: Callable[[Any], Any]) -> list[Any]:
        """Call every rank and return the results; ranks that are lost are replaced."""
        return self._recovering(lambda: self._all(what, call))

    def _recovering(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except RanksLost as error:
                self.recover(error)

    def recover(self, lost: RanksLost) -> None:
        """Form the group again, with the weights that it had before its last call.

        Args:
            lost: error of that call.

        Raises:
            RanksLost: if ranks were lost too often without an update in between, or the run is
                about to end.
            RunError: if the new ranks do not start in time.
        """
        while True:
            self._recoveries += 1
            # A signal may have ended the ranks too, and the machine may be about to stop.
            if self._recoveries > RECOVERIES or stopping():
                raise RanksLost(
                    f"{lost}. The run continues from its last checkpoint with --resume"
                ) from lost
            log.warning("%s; all %d learner rank(s) start again", lost, len(self.slots))
            began = time.monotonic()
            try:
                for rank in self.ranks:
                    ray.kill(rank)
                self._form()
                fetch(self.ready(), self.exp.placement.timeout, "a learner rank that starts again")
                self._restore()
            except ActorLost as error:
                lost = error if isinstance(error, RanksLost) else RanksLost(str(error))
                continue
            self.recovered(str(lost), time.monotonic() - began)
            return

    def _all(self, what: str, call: Callable[[Any], Any]) -> list[Any]:
        """Call every rank and return the results; the first error is raised at once.

        The other ranks may then wait in a collective that will never complete. Only the end of the
        group stops them.
        """
        calls = {call(rank): index for index, rank in enumerate(self.ranks)}
        for ref in self._ready(calls, what):
            try:
                with answers_of(f"learner rank {calls[ref]}"):
                    ray.get(ref)
            except ActorLost as error:
                raise RanksLost(str(error)) from error
            except RunError as error:
                # Where one rank dies, the collective of another one raises, often before that.
                if dead := self._dead():
                    raise RanksLost(f"the process of learner rank(s) {dead} ended") from error
                raise
        return ray.get(list(calls))

    def _ready(self, refs: dict[Any, int], what: str) -> Iterator[Any]:
        """Yield references as their values become available.

        Args:
            refs: numbers of the ranks, by the references that they fill.
            what: name of the call, for messages.

        Raises:
            RanksLost: if a rank does not respond.
            NoAnswer: if a value is not available in time.
        """
        heartbeat = Heartbeat(self._alive)
        limit, allowed = self.exp.learner.timeout, self.exp.placement.unresponsive
        deadline = time.monotonic() + limit
        waiting = list(refs)
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1, timeout=1.0)
            yield from ready
            for _ in heartbeat.poll(self.ranks):
                pass
            silent = [n for n, r in enumerate(self.ranks) if heartbeat.silent.get(r, 0) > allowed]
            if silent:
                raise RanksLost(
                    f"learner rank(s) {silent} did not respond for {allowed:g} s in '{what}' "
                    "(placement.unresponsive)"
                )
            if waiting and time.monotonic() > deadline:
                late = sorted(refs[ref] for ref in waiting)
                raise NoAnswer(
                    f"learner rank(s) {late} did not finish '{what}' within {limit:g} s; raise "
                    "learner.timeout, or see the worker logs in Ray's session directory"
                )

    def _dead(self) -> list[int]:
        """Return the numbers of the ranks whose process has ended."""
        answers = self.ready()
        ray.wait(answers, num_returns=len(answers), timeout=DEATH)
        dead = []
        for rank, answer in enumerate(answers):
            try:
                ray.get(answer, timeout=0)
            except ray.exceptions.RayActorError:
                dead.append(rank)
            except ray.exceptions.GetTimeoutError:
                continue
        return dead
