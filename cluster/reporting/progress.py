"""`Progress`: metrics, scores and checkpoints of a run.

It writes to the run directory and reports to the screen. It also keeps the scores, the best
checkpoint, and the state from which a run is resumed.
"""

import logging
import math
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.health.waits import fetch
from cluster.learner_group import UNSAVED_BYTES
from cluster.ledger import Ledger
from cluster.reporting.alarms import Alarms
from cluster.reporting.rollouts import rollout_metrics
from cluster.source import Source, SourceState, UpdateBatch
from cluster.weights.push import PushReport
from lmrl.errors import OutOfTime, RunError, UsageError
from lmrl.files import write_json
from lmrl.interrupt import deferred, ended_at_once, progressed
from lmrl.runs.checkpoints import newest_first, read_state, write_state
from lmrl.runs.log import RunLog
from lmrl.runs.mirror import Mirror
from lmrl.runs.names import (
    BEST,
    CHECKPOINTS,
    LAST,
    RECORD,
    SCORES,
    SUMMARY,
    Kind,
    checkpoint,
    evaluated,
    step,
    training_file,
)
from lmrl.schema import from_table, table_returns
from lmrl.scoring.score import Score
from lmrl.scoring.text import interval
from lmrl.screen import Screen
from lmrl.screen.figures import figures
from lmrl.screen.stages import Stage
from lmrl.tasks import make
from lmrl.trajectory import transcript

log = logging.getLogger(__name__)

SAMPLES = 10
"""Number of episodes that the screen shows in the course of a run."""


class Progress:
    """Metrics, scores and checkpoints of a run.

    Args:
        exp: experiment of the run.
        log: log of its run directory.
        start_label: name of the start policy's score.
        screen: screen that shows the run; None shows nothing.
    """

    def __init__(
        self, exp: Experiment, log: RunLog, start_label: str, screen: Screen | None = None
    ) -> None:
        self.exp, self.log, self.start_label = exp, log, start_label
        self.screen = Screen() if screen is None else screen
        self.stage: Stage | None = None  # stage of the updates
        self.actions = make(exp.task, **exp.options).actions
        self.alarms = Alarms(exp.alarms)
        self.scores: dict[str, dict[str, Any]] = {}
        self.pushes = 0
        self.parity = 0.0
        self.ages: Counter[int] = Counter()  # number of learned tokens by their age in versions
        self.best: tuple[float, int] | None = None
        self.last_push: PushReport | None = None
        self.saved = 0.0  # time at which the last checkpoint was written
        self.done = 0  # last whole update
        self.selected_after = 0  # last update after which a checkpoint was selected
        self.last_saved = 0  # update of the last checkpoint
        self.mirror = None if exp.mirror is None else Mirror(log.folder, exp.mirror)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.close()

    def pushed(self, report: PushReport) -> None:
        """Record a push."""
        self.pushes += 1
        self.parity = max(self.parity, report.max_abs)
        self.last_push = report
        for name, milliseconds in (("push", report.push_ms), ("gate", report.gate_ms)):
            self.log.seconds[name] = self.log.seconds.get(name, 0.0) + milliseconds / 1e3

    def updated(
        self, update: int, fleet: Fleet, batch: UpdateBatch, metrics: dict[str, float]
    ) -> None:
        """Record an update: metrics, episodes, status, a line on the terminal, and alarms.

        Args:
            update: number of the update.
            fleet: actors of the run.
            batch: episodes of the update.
            metrics: metrics of the learner.

        Raises:
            RunError: if an alarm stops the run.
        """
        record = {f"train/{name}": value for name, value in metrics.items()}
        if batch.trained:
            record |= rollout_metrics(batch, self.actions)
            self.ages.update(dict(enumerate(batch.ages.tolist())))
            for index, table in enumerate(batch.tables):
                self.log.trajectories("training", training_file(update, index), table)
            returns = np.concatenate([table_returns(table) for table in batch.tables])
            self.log.histogram(update, "rollout/return", returns)
        if self.last_push is not None:
            record |= self.last_push.metrics()
        record |= fleet.ledger.metrics()
        self.log.metrics(update, record)
        self.done = update
        progressed()
        self._show(update, fleet, batch, record)
        for warning in self.alarms.poll(update, record, self.last_saved):
            self.screen.note(f"warning: {warning}")

    def inspect(self, fleet: Fleet, kind: Kind, name: str, table: pa.Table) -> None:
        """Record what the learner knows about some of the episodes of a file, for reports.

        Args:
            fleet: actors of the run.
            kind: purpose of the episodes.
            name: name of their file without its suffix.
            table: all episodes of the file.
        """
        count = min(self.exp.learner.inspected, table.num_rows)
        if not count or fleet.learners is None:
            return
        rows = np.unique(np.linspace(0, table.num_rows - 1, count).round().astype(np.int32))
        with self.log.phase("inspect"):
            found = fleet.learners.inspect(table.take(rows))
        self.log.quantities(kind, name, found.add_column(0, "row", pa.array(rows)))

    @contextmanager
    def updates(self, done: int) -> Iterator[None]:
        """Show the stage of the updates while the block runs.

        Args:
            done: number of updates that were done before this process began.
        """
        self.saved = time.monotonic()
        name = self.exp.algorithm.name
        kind = f"{name} updates"
        with self.screen.stage(kind, name, total=self.exp.updates, first=done) as self.stage:
            yield

    def _show(
        self, update: int, fleet: Fleet, batch: UpdateBatch, record: dict[str, float]
    ) -> None:
        assert self.stage is not None
        counts = {name: n for name, n in fleet.ledger.to_json().items() if name != "oracle"}
        self.screen.update(self.stage, update, record, counts)
        every = max(1, self.exp.updates // SAMPLES)
        if batch.trained and (update == 1 or update % every == 0):
            episode = from_table(batch.tables[0].slice(0, 1))[0]
            title = f"episode of update {update}, return {episode.total_reward:g}:"
            self.screen.sample(title, transcript(episode).splitlines())
            self.log.text(update, "rollout/episode", transcript(episode))
        self.log.status(
            phase=self.exp.algorithm.name,
            update=update,
            updates=self.exp.updates,
            seconds_left=self.screen.stages.time_left().seconds,
            line="  ".join(figures(record)),
            ledger=fleet.ledger.to_json(),
        )

    def evaluation_due(self, update: int) -> int:
        """Return the number of episodes to score after an update; 0 scores none."""
        sizes = self.exp.evaluation
        due = sizes.every and update % sizes.every == 0 and self.selected_after < update
        return sizes.every_episodes if due else 0

    def scored(self, label: str, score: Score, table: pa.Table, update: int) -> None:
        """Record a score; the summary has the last score of each label.

        Args:
            label: name of the policy.
            score: score.
            table: scored episodes.
            update: number of updates after which the policy was scored.
        """
        self.scores[label] = score.to_json()
        # Under the policy's name, since several policies are scored after the same update.
        self.log.track(update, {f"score/{label}/{k}": v for k, v in _numbers(score).items()})
        self.log.trajectories("evaluation", evaluated(label, update), table)
        self.log.line(SCORES, {"policy": label, "update": update, **score.to_json()})
        self.screen.note(
            f"{label} after update {update}: return {score.return_mean:.2f} "
            f"{interval(score.ci95)}, normalised {score.normalised:.1f}, "
            f"{score.episodes} episodes"
        )
        for task, part in score.tasks.items():
            self.screen.note(
                f"  {task}: return {part.return_mean:.2f} {interval(part.ci95)}, "
                f"normalised {part.normalised:.1f}, {part.episodes} episodes"
            )

    def selected(self, score: Score, table: pa.Table, update: int) -> None:
        """Record a score during training, and keep the best one.

        Args:
            score: score.
            table: scored episodes.
            update: number of updates after which the policy was scored.
        """
        label = self.exp.algorithm.name
        self.selected_after = update
        self.log.trajectories("selection", evaluated(label, update), table)
        record = {"policy": label, "update": update, "selecting": True, **score.to_json()}
        self.log.line(SCORES, record)
        found = {f"evaluation/{name}": value for name, value in _numbers(score).items()}
        self.log.metrics(update, found)
        self.screen.note(
            f"{label} after update {update}: return {score.return_mean:.2f} on "
            f"{score.episodes} episodes for the selection of a checkpoint"
        )
        better = self.best is None or score.return_mean > self.best[0]
        if better and math.isfinite(score.return_mean):
            self.best = (score.return_mean, update)

    def best_checkpoint(self) -> tuple[int, Path] | None:
        """Return update and folder of the best policy so far.

        It is None if that is the last one, and, with a note on the screen, if it is not whole.
        """
        if self.best is None or self.best[1] == self.exp.updates:
            return None
        folder = checkpoint(self.log.folder, step(self.best[1]))
        if not folder.exists():
            return None
        try:
            read_state(folder)
        except ValueError as error:
            self.screen.note(f"warning: {error}; the best policy is not scored")
            return None
        return self.best[1], folder

    def save_due(self, update: int, unsaved_bytes: int = 0) -> bool:
        """Return whether to save a checkpoint after this update.

        Args:
            update: number of the update.
            unsaved_bytes: size of the episodes since the last checkpoint, which the object store
                holds for lost ranks.
        """
        every = self.exp.save_every
        improved = self.best is not None and self.best[1] == update
        late = time.monotonic() - self.saved > 60.0 * self.exp.save_minutes > 0.0
        due = bool(every and update % every == 0)
        wanted = improved or due or late or unsaved_bytes > UNSAVED_BYTES
        return update == self.exp.updates or (wanted and not self.alarms.withhold)

    def save_last(self, fleet: Fleet, source: Source) -> None:
        """Save the last whole update of a run that is about to end, if it is not saved.

        Args:
            fleet: actors of the run.
            source: source of episodes, whose position is saved.
        """
        if self.done <= self.last_saved or self.alarms.withhold:
            return
        self.screen.note(f"saving update {self.done}")
        try:
            self.save(self.done, fleet, source)
        except RunError as error:  # the signal may have ended the learner too
            log.warning("update %d is not saved: %s", self.done, error)

    def save(self, update: int, fleet: Fleet, source: Source) -> None:
        """Write a checkpoint, which appears only when complete.

        Args:
            update: number of the last update.
            fleet: actors of the run.
            source: source of episodes, whose position is saved.
        """
        assert fleet.learners is not None
        with self.log.phase("save"):
            with self.log.checkpoint(update) as folder:
                fleet.learners.save(folder)
                # So that a checkpoint that was moved is scored with the same settings.
                write_json(folder / RECORD, self.exp.to_json())
                write_state(folder, self._state(update, fleet, source))
            fleet.learners.saved(checkpoint(self.log.folder, step(update)))
            if self.best is not None and self.best[1] == update:
                self.log.link(BEST, checkpoint(self.log.folder, step(update)))
            self.log.prune(self.exp.keep)
        self._copy()
        self.saved, self.last_saved = time.monotonic(), update

    def _copy(self) -> None:
        """Copy the run directory to `Experiment.mirror`, if it names a URI."""
        if self.mirror is None:
            return
        with self.log.phase("mirror"):
            copied = self.mirror.sync()
        if not copied:
            self.screen.note(f"warning: the run could not be copied to {self.exp.mirror}")

    def _state(self, update: int, fleet: Fleet, source: Source) -> dict[str, Any]:
        position = source.state()
        fleet.ledger.check(len(position.pending))
        return {
            "update": update,
            "selected_after": self.selected_after,
            "alarms": self.alarms.counts,
            "position": asdict(position),
            "ledger": fleet.ledger.to_json(),
            "scores": self.scores,
            "best": self.best,
            "pushes": self.pushes,
            "parity": self.parity,
            "ages": list(self.ages.items()),
            "seconds": self.log.seconds,
            "lengths": self.log.lengths(),
        }

    def restore(self, fleet: Fleet, source: Source) -> int:
        """Restore the last checkpoint and return its update; 0 if there is none yet.

        Records after that update are deleted, since they are made again. If the checkpoint is not
        whole, the one before it is used, with a note on the screen.

        Args:
            fleet: actors of the run, whose learners and ledger are restored.
            source: source of episodes, whose position is restored.

        Raises:
            UsageError: if there were checkpoints, and none is whole.
        """
        found = self._whole()
        if found is None:
            self.log.rewind(0, {})
            return 0
        folder, state = found
        assert fleet.learners is not None
        fleet.learners.load(folder)
        source.position = SourceState(**state["position"])
        fleet.ledger = Ledger(**state["ledger"])
        self.scores, self.pushes, self.parity = state["scores"], state["pushes"], state["parity"]
        self.ages = Counter(dict(state["ages"]))
        self.best = tuple(state["best"]) if state["best"] else None
        for name, seconds in state["seconds"].items():
            self.log.seconds[name] = self.log.seconds.get(name, 0.0) + seconds
        self.alarms.counts = state["alarms"]
        self.done = self.last_saved = int(state["update"])
        self.selected_after = int(state["selected_after"])
        self.log.rewind(self.done, state["lengths"])
        self.log.link(LAST, folder)
        if self.best is not None and self.best[1] == self.done:
            self.log.link(BEST, folder)  # if the run ended between the two links
        return self.done

    def _whole(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the last checkpoint that is whole, and its state; None if there is none yet."""
        run = self.log.folder
        damaged = []
        for folder in newest_first(run):
            try:
                state = read_state(folder)
            except ValueError as error:
                damaged.append(str(error))
                continue
            for sentence in damaged:
                self.screen.note(f"warning: {sentence}; the run goes on from {folder.name}")
            return folder, state
        if damaged or checkpoint(run, LAST).is_symlink():
            raise UsageError(
                f"no checkpoint of {run} is whole ({'; '.join(damaged) or 'all are missing'}); "
                "start the run again with --overwrite"
            )
        return None

    def finish(self, fleet: Fleet) -> dict[str, Any]:
        """Write and return the summary."""
        assert fleet.learners is not None
        fleet.ledger.check(0)
        self.log.seconds["total"] = time.time() - self.log.began
        summary = {
            "task": self.exp.task,
            "algorithm": self.exp.algorithm.name,
            "seed": self.exp.seed,
            "updates": self.exp.updates,
            "scores": self.scores,
            "parity": {"max_abs": self.parity, "pushes": self.pushes},
            "learner": fleet.learners.sizes(),
            "sampler": {"peak_memory_gb": _sampler_memory(fleet)},
            "ledger": fleet.ledger.to_json(),
            "token_ages": {str(age): count for age, count in sorted(self.ages.items())},
            "seconds": {name: round(value, 3) for name, value in self.log.seconds.items()},
            "checkpoint": str(Path(CHECKPOINTS) / LAST),
        }
        write_json(self.log.folder / SUMMARY, summary)
        self._copy()
        self.log.status(phase="finished", update=self.exp.updates)
        return summary


@contextmanager
def saved_if_stopped(progress: Progress, fleet: Fleet, source: Source) -> Iterator[None]:
    """Save the last whole update if a signal or the time limit ends the block.

    The first signal lets an update that is being learned end; a second one ends the block at once.

    Args:
        progress: progress of the run.
        fleet: actors of the run.
        source: source of episodes.
    """

    def told(number: int) -> None:
        again = "; another Ctrl-C ends it at once" if number == signal.SIGINT else ""
        progress.screen.note(f"the run saves and ends after what it is doing now{again}")

    with deferred(told):
        try:
            yield
        except (KeyboardInterrupt, OutOfTime):
            if not ended_at_once():
                progress.save_last(fleet, source)
            raise


def _sampler_memory(fleet: Fleet) -> float | None:
    """Return the peak memory of the largest sampler, in GB; None if one of them does not answer."""
    states = [sampler.state.remote() for sampler in fleet.samplers]
    try:
        answers = fetch(states, fleet.experiment.placement.unresponsive, "a sampler")
    except RunError:  # the run has finished: a sampler that died just now is no reason to fail
        return None
    return round(max(answer["peak_memory_gb"] for answer in answers), 2)


def _numbers(score: Score) -> dict[str, float]:
    """Return the numbers of a score that are curves during a run."""
    found = {
        "return_mean": score.return_mean,
        "normalised": score.normalised,
        "length_mean": score.length_mean,
    }
    return found if score.success is None else {**found, "success": score.success}
