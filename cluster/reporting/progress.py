"""`Progress`: metrics, scores and checkpoints of a run.

It writes to the run directory and reports to the screen. It also keeps the scores, the best
checkpoint, and the state from which a run is resumed.
"""

import json
import math
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
from cluster.ledger import Ledger
from cluster.reporting.alarms import Alarms
from cluster.reporting.rollouts import rollout_metrics
from cluster.source import Source, SourceState, UpdateBatch
from cluster.waits import fetch
from cluster.weights.push import PushReport
from lmrl.errors import RunError, UsageError
from lmrl.files import write_json
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
        self.first = 0
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
        return sizes.every_episodes if sizes.every and update % sizes.every == 0 else 0

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
        """Return update and folder of the best policy so far; None if it is the last one."""
        if self.best is None or self.best[1] == self.exp.updates:
            return None
        return self.best[1], checkpoint(self.log.folder, BEST).resolve()

    def save_due(self, update: int) -> bool:
        """Return whether to save a checkpoint after this update."""
        every = self.exp.save_every
        improved = self.best is not None and self.best[1] == update
        late = time.monotonic() - self.saved > 60.0 * self.exp.save_minutes > 0.0
        due = bool(every and update % every == 0)
        wanted = improved or due or late
        return update == self.exp.updates or (wanted and not self.alarms.withhold)

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
                write_json(folder / "state.json", self._state(update, fleet, source))
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
        return {
            "update": update,
            "position": asdict(source.position),
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

        Records after that update are deleted, since they are made again.

        Args:
            fleet: actors of the run, whose learners and ledger are restored.
            source: source of episodes, whose position is restored.

        Raises:
            UsageError: if the last checkpoint has been moved or deleted.
        """
        folder = checkpoint(self.log.folder, LAST)
        if not folder.is_symlink():
            self.log.rewind(0, {})
            return 0
        if not (folder / "state.json").exists():
            raise UsageError(
                f"{folder} points at {folder.readlink()}, which is not a whole checkpoint; point "
                "it at another one, or start the run again with --overwrite"
            )
        assert fleet.learners is not None
        state = json.loads((folder / "state.json").read_text())
        fleet.learners.load(folder.resolve())
        source.position = SourceState(**state["position"])
        fleet.ledger = Ledger(**state["ledger"])
        self.scores, self.pushes, self.parity = state["scores"], state["pushes"], state["parity"]
        self.ages = Counter(dict(state["ages"]))
        self.best = tuple(state["best"]) if state["best"] else None
        for name, seconds in state["seconds"].items():
            self.log.seconds[name] = self.log.seconds.get(name, 0.0) + seconds
        self.first = self.last_saved = int(state["update"])
        self.log.rewind(self.first, state["lengths"])
        if self.best is not None and self.best[1] == self.first:
            self.log.link("best", folder.resolve())  # if the run ended between the two links
        return self.first

    def finish(self, fleet: Fleet) -> dict[str, Any]:
        """Write and return the summary."""
        assert fleet.learners is not None
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
