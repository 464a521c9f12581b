"""`push`: the learner's weights into every sampler, under a version, with a parity gate after it.

Phases: open the update on all samplers; hand each bucket over as the learner makes it; close the
update under the new version; compare log-probs on fixed probes. Each phase has a deadline and an
error that names the phase and who did not answer. A sampler that died, or missed a phase, has no
version and answers nobody; `ActorMonitor` pushes to it again once it is back. One that does not
respond while others do is replaced: its process ends, and Ray starts it again.
"""

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ray

from actors.messages import SamplerStale
from cluster.fleet import Fleet, Weights, replace_actor
from cluster.waits import NoAnswer, answers_of, fetch
from cluster.weights.parity import Fingerprint, Parity, compare
from lmrl.errors import RunError

log = logging.getLogger(__name__)

LOST = (ray.exceptions.RayActorError, SamplerStale)
"""A sampler that is dead, or that was restarted within a push and missed its beginning."""


@dataclass(frozen=True)
class PushReport:
    """What a push did.

    Attributes:
        version: that the samplers hold now.
        push_ms: from the learner's first byte to the last sampler's new version.
        gate_ms: the parity gate.
        max_abs, mean_abs: differences of log-probs on the probes, over all samplers, in nats.
        megabytes: of weights.
        pushed_again: samplers that the gate refused once.
    """

    version: int
    push_ms: float
    gate_ms: float
    max_abs: float
    mean_abs: float
    megabytes: float
    pushed_again: int

    def metrics(self) -> dict[str, float]:
        """Return the figures under metric names."""
        plain = asdict(self)
        return {f"push/{key}": float(value) for key, value in plain.items()}


def push(fleet: Fleet, version: int) -> PushReport:
    """Bring the learner's weights to every sampler that is alive, and check them.

    Raises:
        RunError: if no sampler finishes a phase within its deadline, or one fails the gate twice.
    """
    assert fleet.learners is not None
    began = time.perf_counter()
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
    """Bring the current version from the object store to one sampler, without the learner."""
    weights = fleet.weights
    assert weights is not None
    _phase(fleet, "begin", [sampler], lambda s: s.begin_load.remote(), strict=True)
    loads = [(sampler, sampler.load.remote(bucket)) for bucket in weights.buckets]
    await_all(fleet, f"load ({len(loads)} buckets)", loads, strict=True)
    _phase(fleet, "finish", [sampler], lambda s: s.finish_load.remote(weights.version), strict=True)


def gate(fleet: Fleet, samplers: list[Any]) -> tuple[list[Parity], int]:
    """Compare samplers with the learner; push again, once, to those that differ too much.

    Returns:
        What was found of each sampler that answered, and how many were pushed to again.

    Raises:
        RunError: naming the criteria that refuse a sampler a second time.
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
    """Return the last answer of each sampler. One that is dead is left out, and so is one that does
    not answer while others do, which is replaced; either is an error if `strict`.

    Raises:
        NoAnswer: if nobody answers within the deadline, naming the phase and the samplers.
    """
    deadline = fleet.experiment.push.deadline
    refs = [ref for _, ref in calls]
    _, late = ray.wait(refs, num_returns=len(refs), timeout=deadline) if refs else ([], [])
    silent = {sampler for sampler, ref in calls if ref in late}
    if silent:
        names = sorted(fleet.samplers.index(sampler) for sampler in silent)
        sentence = (
            f"weight push, phase {name}: sampler(s) {names} did not answer within {deadline:g} s "
            "(push.deadline)"
        )
        if strict or len(silent) == len({sampler for sampler, _ in calls}):
            raise NoAnswer(sentence)
        log.warning("%s; replaced", sentence)
        for sampler in silent:
            replace_actor(fleet, sampler)
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
            fleet.starting.add(sampler)
            log.warning("sampler %d died during a push", fleet.samplers.index(sampler))
        except ray.exceptions.RayTaskError:
            with answers_of(f"sampler {fleet.samplers.index(sampler)}"):
                raise
    return {sampler: answer for sampler, answer in answers.items() if sampler not in lost}
