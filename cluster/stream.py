"""Episodes of submitted jobs as they finish, even if actors die.

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
from cluster.health.monitor import ActorMonitor
from cluster.health.waits import ActorLost, fetch
from lmrl.errors import RunError
from lmrl.interrupt import check_stop
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


class EpisodeStream:
    """Jobs of the simulators, and their episodes as they finish.

    An actor that dies or does not respond is replaced, and its pending episodes are submitted
    again. Failed episodes are counted and reported to `fleet.failures`. Every started episode is in
    what `collect` returns once.

    Args:
        fleet: actors of the run.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.monitor = ActorMonitor(fleet)
        self.running: dict[Any, Assignment] = {}
        self.submitted = self.failed = 0

    @property
    def open(self) -> bool:
        """Whether a job has not ended."""
        return bool(self.running)

    def watch(self) -> None:
        """Begin another round: failures, and replacements of actors, are counted anew."""
        self.monitor.replaced.clear()
        self.submitted = sum(len(assignment.pending) for assignment in self.running.values())
        self.failed = 0

    def submit(self, job: Job, again: bool = False) -> None:
        """Divide a job among all simulators. It waits until a sampler has weights.

        Args:
            job: episodes to play.
            again: whether the ledger counts these episodes as started already.
        """
        ledger, count = self.fleet.ledger, len(self.fleet.simulators)
        self.submitted += len(job.episodes)
        if again:
            ledger.resubmitted += len(job.episodes)
        else:
            ledger.started += len(job.episodes)
        for index in range(count):
            mine = job.episodes[index::count]
            if mine:
                part = job._replace(episodes=mine, at_once=max(1, job.at_once // count))
                self._play(index, part)

    def collect(self, seconds: float = 0.5) -> list[Finished]:
        """Return what has arrived, after a wait of at most `seconds` for the first batch.

        Raises:
            RunError: if a larger share of episodes fails than the experiment allows, or no sampler
                answers.
        """
        check_stop()
        ready, _ = ray.wait(list(self.running), num_returns=1, timeout=seconds)
        self.monitor.poll()
        return [finished for stream in ready for finished in self._next(stream)]

    def _play(self, simulator: int, job: Job, again: bool = False) -> None:
        actor = self.fleet.simulators[simulator]
        stream = actor.play.options(num_returns="streaming").remote(job)
        self.running[stream] = Assignment(simulator, job, set(job.episodes), again)

    def _next(self, stream: Any) -> Iterator[Finished]:
        """Yield the next batch of a job; nothing if the job has ended or its simulator has died."""
        fleet, assignment = self.fleet, self.running[stream]
        simulator = assignment.simulator
        try:
            finished: Finished = fetch(
                next(stream), fleet.experiment.push.deadline, f"simulator {simulator}"
            )
        except StopIteration:
            del self.running[stream]
            if assignment.pending:
                raise RunError(
                    f"simulator {simulator} ended without the episodes of seeds "
                    f"{[episode.seed for episode in sorted(assignment.pending)[:5]]}"
                ) from None
            return
        except ActorLost:
            # Episodes that have arrived are kept; the others start again with the same seeds.
            del self.running[stream]
            pending = sorted(assignment.pending)
            fleet.lost(fleet.simulators[simulator], "its process ended")
            if not assignment.again:  # once per process, not for each try while it starts
                log.warning(
                    "simulator %d died; %d episodes are played again", simulator, len(pending)
                )
                fleet.ledger.resubmitted += len(pending)
            self._play(simulator, assignment.job._replace(episodes=pending), again=True)
            return
        assignment.again = False
        fleet.back(fleet.simulators[simulator])
        assignment.pending -= set(finished.episodes)
        fleet.ledger.asked(finished.oracle)
        self._report(finished.failures)
        yield finished

    def _report(self, failures: list[Failure]) -> None:
        fleet = self.fleet
        self.failed += len(failures)
        fleet.ledger.failed += len(failures)
        for failure in failures:
            if fleet.failures is not None:
                fleet.failures(failure)
        limit = fleet.experiment.failures
        if failures and self.failed > limit * self.submitted:
            raise RunError(
                f"{self.failed} of {self.submitted} episodes failed, more than the allowed share "
                f"of {limit:g} (failures); the last one, seed {failures[-1].seed}: "
                f"{failures[-1].error}"
            )


def episodes(fleet: Fleet, job: Job) -> Iterator[Finished]:
    """Yield the episodes of one job as they finish; failed ones are not yielded.

    Args:
        fleet: actors of the run.
        job: episodes to play.

    Raises:
        RunError: as `EpisodeStream.collect`.
    """
    stream = EpisodeStream(fleet)
    stream.submit(job)
    ended = 0
    while stream.open:
        for finished in stream.collect():
            ended += finished.table.num_rows + len(finished.failures)
            fleet.screen.episodes(ended, len(job.episodes))
            if finished.table.num_rows:
                yield finished


def training_job(fleet: Fleet, wanted: Sequence[EpisodeId], version: int, at_once: int) -> Job:
    """Return the job of some episodes to learn from.

    Args:
        fleet: actors of the run.
        wanted: episodes to play.
        version: version of the policy that starts them; it changes the sampling seeds.
        at_once: largest number of episodes that run at one time.
    """
    exp = fleet.experiment
    decoding = Decoding(max_tokens=exp.format.reply_tokens, seed=decoding_seed(exp.seed, version))
    return Job(exp.task, exp.options, list(wanted), decoding, label=f"v{version}", at_once=at_once)


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
