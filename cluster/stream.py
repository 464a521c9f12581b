"""`episodes`: finished episodes for given seeds, even if actors die.

The dictionary of running jobs is the only buffer. An episode is in it until it has arrived. So the
pending episodes of a dead simulator are known exactly and are played again.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from actors.messages import Decoding, EpisodeId, Failure, Finished, Job
from cluster.fleet import Fleet
from cluster.waits import ActorLost, fetch
from cluster.weights.monitor import ActorMonitor
from lmrl.errors import RunError
from lmrl.seeds import EVALUATION_DECODING_SEED, decoding_seed

log = logging.getLogger(__name__)


@dataclass
class Assignment:
    """A job of a simulator, and its pending episodes.

    Attributes:
        simulator: index of the simulator.
        job: job that was submitted.
        pending: episodes that have not arrived.
        again: whether the job was submitted after the simulator's process was lost, and no result
            has arrived since.
    """

    simulator: int
    job: Job
    pending: set[EpisodeId]
    again: bool = False


def episodes(fleet: Fleet, job: Job) -> Iterator[Finished]:
    """Yield the episodes of a job as they finish; they are divided among all simulators.

    A job that needs the policy waits until a sampler has weights. An actor that dies or does not
    respond is replaced, and its pending episodes are submitted again. Failed episodes are counted,
    reported to `fleet.failures` and not yielded. Every other started episode is yielded once.

    Args:
        fleet: actors of the run.
        job: episodes to play.

    Raises:
        RunError: if a larger share of episodes fails than the experiment allows, or no sampler
            answers.
    """
    fleet.ledger.started += len(job.episodes)
    monitor = ActorMonitor(fleet)
    running: dict[Any, Assignment] = {}
    count = len(fleet.simulators)
    for index in range(count):
        mine = job.episodes[index::count]
        if mine:
            part = job._replace(episodes=mine, at_once=max(1, job.at_once // count))
            _submit(fleet, running, index, part)
    failed = ended = 0
    while running:
        ready, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
        monitor.poll()
        for stream in ready:
            assignment = running[stream]
            try:
                finished: Finished = fetch(
                    next(stream),
                    fleet.experiment.push.deadline,
                    f"simulator {assignment.simulator}",
                )
            except StopIteration:
                del running[stream]
                if assignment.pending:
                    raise RunError(
                        f"simulator {assignment.simulator} ended without the episodes of seeds "
                        f"{[episode.seed for episode in sorted(assignment.pending)[:5]]}"
                    ) from None
                continue
            except ActorLost:
                # Episodes that have arrived are kept; the others start again with the same seeds.
                del running[stream]
                if not assignment.again:  # once per process, not for each try while it starts
                    log.warning(
                        "simulator %d died; %d episodes are played again",
                        assignment.simulator,
                        len(assignment.pending),
                    )
                    fleet.ledger.resubmitted += len(assignment.pending)
                rest = assignment.job._replace(episodes=sorted(assignment.pending))
                _submit(fleet, running, assignment.simulator, rest, again=True)
                continue
            assignment.again = False
            fleet.starting.discard(fleet.simulators[assignment.simulator])
            assignment.pending -= set(finished.episodes)
            failed += len(finished.failures)
            fleet.ledger.asked(finished.oracle)
            _report(fleet, finished.failures, failed, len(job.episodes))
            ended += finished.table.num_rows + len(finished.failures)
            fleet.screen.episodes(ended, len(job.episodes))
            if finished.table.num_rows:
                yield finished


def _submit(
    fleet: Fleet, running: dict[Any, Assignment], simulator: int, job: Job, again: bool = False
) -> None:
    actor = fleet.simulators[simulator]
    stream = actor.play.options(num_returns="streaming").remote(job)
    running[stream] = Assignment(simulator, job, set(job.episodes), again)


def _report(fleet: Fleet, failures: list[Failure], failed: int, total: int) -> None:
    fleet.ledger.failed += len(failures)
    for failure in failures:
        if fleet.failures is not None:
            fleet.failures(failure)
    limit = fleet.experiment.failures
    if failures and failed > limit * total:
        raise RunError(
            f"{failed} of {total} episodes failed, more than the allowed share of {limit:g} "
            f"(failures); the last one, seed {failures[-1].seed}: {failures[-1].error}"
        )


def training_job(fleet: Fleet, seeds: Sequence[int], update: int, label: str) -> Job:
    """Return the job of an online update, with a group of episodes for each seed.

    Args:
        fleet: actors of the run.
        seeds: seeds of the groups.
        update: number of the update, which changes the sampling seed.
        label: name of the policy, for the record.
    """
    exp = fleet.experiment
    decoding = Decoding(max_tokens=exp.format.reply_tokens, seed=decoding_seed(exp.seed, update))
    members = range(exp.algorithm.group)
    wanted = [EpisodeId(seed, member) for seed in seeds for member in members]
    return Job(exp.task, exp.options, wanted, decoding, label=label, at_once=exp.rollouts.in_flight)


def evaluation_job(fleet: Fleet, seeds: Sequence[int], label: str, player: str = "") -> Job:
    """Return the job of an evaluation. Its sampling seeds are the same for every policy.

    Args:
        fleet: actors of the run.
        seeds: seeds of the episodes.
        label: name of the policy, for the record.
        player: name of a scripted player that plays instead; empty is the policy.
    """
    exp = fleet.experiment
    decoding = Decoding(
        max_tokens=exp.format.reply_tokens,
        temperature=exp.evaluation.temperature,
        seed=EVALUATION_DECODING_SEED,
    )
    wanted = [EpisodeId(seed) for seed in seeds]
    return Job(
        exp.task, exp.options, wanted, decoding, player, label, at_once=exp.rollouts.in_flight
    )
