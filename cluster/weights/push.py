"""`push`: transfer of the learner's weights to every sampler, followed by a parity gate.

The phases of a push:

1. Open the update on all samplers.
2. Send each bucket as soon as the learner has made it.
3. Close the update under the new version.
4. Compare log-probabilities on fixed probes (the parity gate).

Each phase has a time limit, and its error names the phase and the samplers that did not answer. A
sampler that died or missed a phase has no version and serves nothing. `ActorMonitor` pushes to it
again once it has restarted. A sampler that does not respond while others do is replaced: its
process is killed, and Ray restarts it.
"""

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ray

from actors.messages import SamplerStale
from cluster.fleet import Fleet, Weights, replace_actor
from cluster.health.waits import NoAnswer, answers_of, fetch
from cluster.learner_group import RanksLost
from cluster.weights.parity import Fingerprint, Parity, compare
from lmrl.errors import RunError

log = logging.getLogger(__name__)

LOST = (ray.exceptions.RayActorError, SamplerStale)
"""Errors of a sampler that is dead, or that restarted during a push and missed its beginning."""


@dataclass(frozen=True)
class PushReport:
    """Report of a push.

    Attributes:
        version: version that the samplers serve now.
        push_ms: time from the learner's first byte to the last sampler's new version, in
            milliseconds.
        gate_ms: time of the parity gate, in milliseconds.
        max_abs, mean_abs: largest and mean absolute difference of log-probabilities on the probes,
            over all samplers, in nats.
        megabytes: size of the weights, in MB.
        pushed_again: number of samplers that the gate refused once.
    """

    version: int
    push_ms: float
    gate_ms: float
    max_abs: float
    mean_abs: float
    megabytes: float
    pushed_again: int

    def metrics(self) -> dict[str, float]:
        """Return the numbers by metric names."""
        plain = asdict(self)
        return {f"push/{key}": float(value) for key, value in plain.items()}


def sleep_samplers(fleet: Fleet) -> None:
    """Let samplers free their GPU memory until the next push, if `sampler.sleep` is set."""
    if fleet.experiment.sampler.sleep:
        _phase(fleet, "sleep", list(fleet.samplers), lambda s: s.sleep.remote())


def push(fleet: Fleet, version: int) -> PushReport:
    """Send the learner's weights to every sampler that is alive, and check them.

    If learner ranks are lost meanwhile, the push begins again with the new ones.

    Args:
        fleet: actors of the run.
        version: number of the new version.

    Raises:
        RunError: if no sampler finishes a phase in time, or one fails the gate twice.
    """
    assert fleet.learners is not None
    while True:
        try:
            return _push(fleet, version)
        except RanksLost as error:
            fleet.learners.recover(error)


def _push(fleet: Fleet, version: int) -> PushReport:
    assert fleet.learners is not None
    began = time.perf_counter()
    if fleet.experiment.sampler.sleep:
        fleet.learners.release()
    samplers = list(fleet.samplers)
    samplers = _phase(fleet, "begin", samplers, lambda s: s.begin_load.remote())
    buckets: list[Any] = []
    most = int(fleet.experiment.push.bucket_megabytes * 2**20)
    loads: list[tuple[Any, Any]] = []
    for bucket in fleet.learners.buckets(most):
        buckets.append(bucket)
        # Samplers load this bucket while the learner makes the next one.
        loads += [(sampler, sampler.load.remote(bucket)) for sampler in samplers]
    alive = await_all(fleet, f"load ({len(buckets)} buckets)", loads)
    samplers = [s for s in samplers if s in alive]
    samplers = _phase(fleet, "finish", samplers, lambda s: s.finish_load.remote(version))
    deadline = fleet.experiment.push.deadline
    checksums: dict[str, int] = {}
    size = 0
    for ref in buckets:
        bucket = fetch(ref, deadline, "learner rank 0, asked for weights,")
        checksums |= {meta.name: meta.checksum for meta in bucket.metas}
        size += len(bucket.data)
    expected = fleet.learners.probe(fleet.probes)
    fleet.weights = Weights(version, buckets, Fingerprint(expected, checksums))
    pushed = time.perf_counter()
    parities, again = gate(fleet, samplers)
    return PushReport(
        version,
        1e3 * (pushed - began),
        1e3 * (time.perf_counter() - pushed),
        max((parity.maximum for parity in parities), default=0.0),
        float(np.mean([parity.mean_all for parity in parities])) if parities else 0.0,
        size / 2**20,
        again,
    )


def load_again(fleet: Fleet, sampler: Any) -> None:
    """Send the current version from the object store to one sampler, without the learner."""
    weights = fleet.weights
    assert weights is not None
    _phase(fleet, "begin", [sampler], lambda s: s.begin_load.remote(), strict=True)
    loads = [(sampler, sampler.load.remote(bucket)) for bucket in weights.buckets]
    await_all(fleet, f"load ({len(loads)} buckets)", loads, strict=True)
    _phase(fleet, "finish", [sampler], lambda s: s.finish_load.remote(weights.version), strict=True)


def gate(fleet: Fleet, samplers: list[Any]) -> tuple[list[Parity], int]:
    """Compare samplers with the learner; push again, once, to those that differ too much.

    Args:
        fleet: actors of the run.
        samplers: samplers to check.

    Returns:
        Differences of each sampler that answered, and the number of samplers that got a second
        push.

    Raises:
        RunError: if a sampler fails a second time; the message has the failed criteria.
    """
    assert fleet.weights is not None
    found: list[Parity] = []
    refused = 0
    answers = await_all(fleet, "gate", [(s, s.held.remote(fleet.probes)) for s in samplers])
    for sampler in samplers:
        if sampler not in answers:
            continue
        parity = _compare(fleet, answers[sampler])
        if parity.refused:
            refused += 1
            log.warning("%s; pushing again", _refusal(fleet, sampler, parity))
            _phase(fleet, "quarantine", [sampler], lambda s: s.quarantine.remote(), strict=True)
            load_again(fleet, sampler)
            second = await_all(fleet, "gate", [(sampler, sampler.held.remote(fleet.probes))], True)
            parity = _compare(fleet, second[sampler])
            if parity.refused:
                _phase(fleet, "quarantine", [sampler], lambda s: s.quarantine.remote(), strict=True)
                raise RunError(
                    f"the parity gate failed twice: {_refusal(fleet, sampler, parity)}. Nothing "
                    "was sampled from them"
                )
        found.append(parity)
        fleet.back(sampler)  # if its process was lost
    return found, refused


def _compare(fleet: Fleet, answer: Any) -> Parity:
    assert fleet.weights is not None
    return compare(
        fleet.weights.sent, Fingerprint(*answer), fleet.probes, fleet.experiment.tolerance
    )


def _refusal(fleet: Fleet, sampler: Any, parity: Parity) -> str:
    assert fleet.weights is not None
    return (
        f"sampler {fleet.samplers.index(sampler)} differs from the learner at version "
        f"{fleet.weights.version}: {parity.sentence()}"
    )


def _phase(
    fleet: Fleet, name: str, samplers: list[Any], call: Any, strict: bool = False
) -> list[Any]:
    """Call samplers and return those that answered."""
    answers = await_all(fleet, name, [(sampler, call(sampler)) for sampler in samplers], strict)
    return [sampler for sampler in samplers if sampler in answers]


def await_all(
    fleet: Fleet, name: str, calls: list[tuple[Any, Any]], strict: bool = False
) -> dict[Any, Any]:
    """Return the last answer of each sampler.

    A dead sampler is left out. A sampler that does not answer while others do is replaced and left
    out.

    Args:
        fleet: actors of the run.
        name: name of the phase, for messages.
        calls: pairs of a sampler and the reference of its answer.
        strict: whether a dead or unresponsive sampler is an error.

    Raises:
        NoAnswer: if no sampler answers in time, or, if `strict`, one does not; the message has the
            phase and the samplers.
        RayActorError, SamplerStale: if `strict`, and a sampler died or restarted.
    """
    deadline = fleet.experiment.push.deadline
    silent = _silent(calls, deadline)
    if silent:
        names = sorted(fleet.samplers.index(sampler) for sampler in silent)
        late = f"did not answer within {deadline:g} s (push.deadline)"
        sentence = f"weight push, phase {name}: sampler(s) {names} {late}"
        if strict or len(silent) == len({sampler for sampler, _ in calls}):
            raise NoAnswer(sentence)
        log.warning("%s; replaced", sentence)
        for sampler in silent:
            replace_actor(fleet, sampler, f"{late} in a push, phase {name}")
        calls = [(sampler, ref) for sampler, ref in calls if sampler not in silent]
    answers: dict[Any, Any] = {}
    lost: set[Any] = set()
    for sampler, ref in calls:
        try:
            answers[sampler] = ray.get(ref)
        except LOST:
            if strict:
                raise
            lost.add(sampler)
            fleet.lost(sampler, "its process ended in a push")
            log.warning("sampler %d died during a push", fleet.samplers.index(sampler))
        except ray.exceptions.RayTaskError:
            with answers_of(f"sampler {fleet.samplers.index(sampler)}"):
                raise
    return {sampler: answer for sampler, answer in answers.items() if sampler not in lost}


def _silent(calls: list[tuple[Any, Any]], deadline: float) -> set[Any]:
    """Wait for all answers; return the samplers that let a time pass without any.

    Args:
        calls: pairs of a sampler and the reference of its answer.
        deadline: that time, in seconds; it begins anew with each answer.
    """
    open_calls = {ref: sampler for sampler, ref in calls}
    heard = dict.fromkeys(open_calls.values(), time.monotonic())
    silent: set[Any] = set()
    while open_calls:
        patience = max(0.0, min(heard.values()) + deadline - time.monotonic())
        ready, _ = ray.wait(list(open_calls), num_returns=1, timeout=patience)
        for ref in ready:
            heard[open_calls.pop(ref)] = time.monotonic()
        now = time.monotonic()
        silent |= {sampler for sampler, since in heard.items() if now - since >= deadline}
        open_calls = {ref: s for ref, s in open_calls.items() if s not in silent}
        heard = {sampler: heard[sampler] for sampler in set(open_calls.values())}
    return silent
