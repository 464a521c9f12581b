"""`Progress`: metrics, scores, checkpoints and terminal output of a run.

It writes metrics to the run directory, and a line and a bar with the remaining time to the
terminal. It also keeps the scores, the best checkpoint, and the state from which a run is resumed.
"""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cluster.evaluation.fixed_seeds import mean_return
from cluster.experiment import Experiment
from cluster.fields import RECORD
from cluster.fleet import Fleet
from cluster.ledger import Ledger
from cluster.source import Source, SourceState, UpdateBatch
from cluster.weights.push import PushReport
from lmrl.errors import UsageError
from lmrl.files import write_json
from lmrl.runs.log import RunLog
from lmrl.runs.names import BEST, CHECKPOINTS, LAST, SCORES, SUMMARY, checkpoint, evaluated, step
from lmrl.scoring.score import Score
from lmrl.scoring.text import interval


class Progress:
    """Metrics, scores and checkpoints of a run.

    Args:
        exp: experiment of the run.
        log: log of its run directory.
        start_label: name of the start policy's score.
    """

    def __init__(self, exp: Experiment, log: RunLog, start_label: str) -> None:
        self.exp, self.log, self.start_label = exp, log, start_label
        self.scores: dict[str, dict[str, Any]] = {}
        self.pushes = 0
        self.parity = 0.0
        self.best: tuple[float, int] | None = None
        self.last_push: PushReport | None = None
        self.console = Console(stderr=True, highlight=False)
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[line]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.row = self.bar.add_task(exp.algorithm.name, total=exp.updates, line="")
        self.began = 0.0  # time at which the loop began, for the remaining time
        self.saved = 0.0  # time at which the last checkpoint was written
        self.first = 0
        self.printed = 0.0  # time at which the last line was printed

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
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
        """Record an update: metrics, episodes, status, and a line on the terminal.

        Args:
            update: number of the update.
            fleet: actors of the run.
            batch: episodes of the update.
            metrics: metrics of the learner.
        """
        record = {f"learner/{name}": value for name, value in metrics.items()}
        if batch.trained:
            mean, length = mean_return(batch.tables)
            record |= {
                "rollout/return": mean,
                "rollout/length": length,
                "rollout/episodes": float(batch.trained),
                "rollout/turns_per_s": length * batch.trained / max(batch.seconds, 1e-9),
                "rollout/tokens_per_s": batch.tokens / max(batch.seconds, 1e-9),
                "rollout/staleness": float(batch.staleness),
            }
            for index, table in enumerate(batch.tables):
                self.log.trajectories("training", f"update-{update:05d}-{index}", table)
        if self.last_push is not None:
            record |= self.last_push.metrics()
        self.log.metrics(update, record)
        self._report(update, fleet, record)

    def _report(self, update: int, fleet: Fleet, record: dict[str, float]) -> None:
        shown = [
            ("return", record.get("rollout/return"), "{:.1f}"),
            ("loss", record.get("learner/loss"), "{:.3f}"),
            ("kl", record.get("learner/approx_kl"), "{:.3f}"),
            ("kl0", record.get("learner/kl_to_start"), "{:.3f}"),
            ("sampler tok/s", record.get("rollout/tokens_per_s"), "{:.0f}"),
            ("learner tok/s", record.get("learner/learner_tokens_per_s"), "{:.0f}"),
            ("stale", record.get("rollout/staleness"), "{:.0f}"),
            ("parity", self.parity, "{:.1e}"),
        ]
        line = "  ".join(f"{name} {form.format(v)}" for name, v, form in shown if v is not None)
        done = update - self.first
        left = (time.monotonic() - self.began) / done * (self.exp.updates - update)
        self.bar.update(self.row, completed=update, line=line)
        now = time.monotonic()
        last = update == self.exp.updates
        if not self.console.is_terminal and (now - self.printed > 5.0 or last):
            self.printed = now
            self.console.print(
                f"{self.exp.algorithm.name} {update}/{self.exp.updates}  {left:.0f} s left  {line}",
                soft_wrap=True,
            )
        self.log.status(
            phase=self.exp.algorithm.name,
            update=update,
            updates=self.exp.updates,
            seconds_left=left,
            line=line,
            ledger=fleet.ledger.to_json(),
        )

    def ready(self) -> None:
        """Start the clock for the remaining time: from now on there are only updates."""
        self.began = self.saved = time.monotonic()

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
        self.log.trajectories("evaluation", evaluated(label, update), table)
        self.log.line(SCORES, {"policy": label, "update": update, **score.to_json()})
        self.console.print(
            f"{label} after update {update}: return {score.return_mean:.2f} "
            f"{interval(score.ci95)}, normalised {score.normalised:.1f}, "
            f"{score.episodes} episodes",
            soft_wrap=True,
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
        self.log.metrics(update, {"evaluation/return": score.return_mean})
        self.console.print(
            f"{label} {update}/{self.exp.updates}: return {score.return_mean:.2f} on "
            f"{score.episodes} episodes of its own",
            soft_wrap=True,
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
        return update == self.exp.updates or improved or due or late

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
        self.saved = time.monotonic()

    def _state(self, update: int, fleet: Fleet, source: Source) -> dict[str, Any]:
        return {
            "update": update,
            "position": asdict(source.position),
            "ledger": fleet.ledger.to_json(),
            "scores": self.scores,
            "best": self.best,
            "pushes": self.pushes,
            "parity": self.parity,
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
        self.best = tuple(state["best"]) if state["best"] else None
        for name, seconds in state["seconds"].items():
            self.log.seconds[name] = self.log.seconds.get(name, 0.0) + seconds
        self.first = int(state["update"])
        self.log.rewind(self.first, state["lengths"])
        if self.best is not None and self.best[1] == self.first:
            self.log.link("best", folder.resolve())  # if the run ended between the two links
        return self.first

    def finish(self, fleet: Fleet) -> dict[str, Any]:
        """Write and return the summary."""
        self.log.seconds["total"] = time.time() - self.log.began
        summary = {
            "task": self.exp.task,
            "algorithm": self.exp.algorithm.name,
            "seed": self.exp.seed,
            "updates": self.exp.updates,
            "scores": self.scores,
            "parity": {"max_abs": self.parity, "pushes": self.pushes},
            "ledger": fleet.ledger.to_json(),
            "seconds": {name: round(value, 3) for name, value in self.log.seconds.items()},
            "checkpoint": str(Path(CHECKPOINTS) / LAST),
        }
        write_json(self.log.folder / SUMMARY, summary)
        self.log.status(phase="finished", update=self.exp.updates)
        return summary
