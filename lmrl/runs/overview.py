"""What a run directory says about its run, for people: tolerant of files that are missing or cut.

Everything read here may be damaged or hostile. Values of an unexpected type count as missing, and
texts are for `lmrl.trajectory.printable`.
"""

import fcntl
import json
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmrl.errors import UsageError
from lmrl.runs.names import CONFIG, LAST, MARKER, METRICS, SCORES, STATUS, SUMMARY, checkpoint

RUNNING, ENDED, STOPPED, WAITING = "running", "ended", "stopped", "not started"
DEPTH = 3
"""Number of folders below the given one in which runs are searched."""


@dataclass(frozen=True)
class Overview:
    """A run as its directory shows it.

    Attributes:
        folder: run directory.
        state: `running`, `ended`, `stopped` or `not started`.
        config: content of config.json; empty if it cannot be read.
        status: content of status.json; empty if it cannot be read.
        scores: lines of scores.jsonl.
        metrics: last line of metrics.jsonl; empty without one.
    """

    folder: Path
    state: str
    config: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """Name of the task; empty if it is not known."""
        return _text(self.config.get("task"))

    @property
    def algorithm(self) -> str:
        """Name of the algorithm; empty if it is not known."""
        found = self.config.get("algorithm")
        return _text(found.get("name")) if isinstance(found, dict) else ""

    @property
    def update(self) -> int | None:
        """Number of finished updates; None if it is not known."""
        return whole(self.status.get("update")) or whole(self.metrics.get("update"))

    @property
    def updates(self) -> int | None:
        """Number of updates of the whole run; None if it is not known."""
        return whole(self.config.get("updates"))

    @property
    def last_return(self) -> float | None:
        """Mean return of the last score of the learned policy; None without one."""
        learned = [row for row in self.scores if whole(row.get("update"))]
        return number(learned[-1].get("return_mean")) if learned else None

    @property
    def changed(self) -> float:
        """Time of the last status, in seconds since the epoch; 0 if it is not known."""
        return number(self.status.get("time")) or 0.0

    @property
    def resumable(self) -> bool:
        """Whether `lmrl train --resume` can go on with the run."""
        return self.state == STOPPED and bool(self.config)

    @property
    def saved(self) -> bool:
        """Whether the run has a checkpoint."""
        return checkpoint(self.folder, LAST).exists()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "run": str(self.folder),
            "task": self.task,
            "algorithm": self.algorithm,
            "seed": whole(self.config.get("seed")),
            "state": self.state,
            "phase": _text(self.status.get("phase")),
            "update": self.update,
            "updates": self.updates,
            "return_mean": self.last_return,
            "error": _text(self.status.get("error")) or None,
        }


def overview(folder: Path) -> Overview:
    """Return what a run directory says.

    Raises:
        UsageError: if it is not marked as a run directory.
    """
    if not (folder / MARKER).is_file():
        raise UsageError(
            f"{folder} is not a run directory: it has no {MARKER}; 'lmrl runs DIR' lists those "
            "below a folder"
        )
    config, status = _object(folder / CONFIG), _object(folder / STATUS)
    scores = list(_lines(folder / SCORES))
    last = list(_lines(folder / METRICS))[-1:]
    if (folder / SUMMARY).exists():
        state = ENDED
    elif _locked(folder / MARKER):
        state = RUNNING
    else:
        state = STOPPED if config else WAITING
    return Overview(folder, state, config, status, scores, last[0] if last else {})


def runs_below(folder: Path) -> list[Overview]:
    """Return the runs in a folder and the folders in it, newest first.

    The start policy of a run, a run directory of its own, is left out.

    Raises:
        UsageError: if there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; 'lmrl runs DIR' lists the runs in DIR (runs)")
    found = [overview(path) for path in _marked(folder, DEPTH)]
    return sorted(found, key=lambda run: -run.changed)


def _marked(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / MARKER).is_file():
        yield folder
        return
    if depth == 0:
        return
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _marked(path, depth - 1)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of lines; what is no object, like a cut line, is skipped."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(ValueError, RecursionError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield found
    except OSError:
        return


def _locked(path: Path) -> bool:
    """Return whether a process on this machine, or one that shares its locks, holds the run."""
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def whole(value: Any) -> int | None:
    """Return a value that is a whole number; None for any other."""
    return value if type(value) is int else None


def number(value: Any) -> float | None:
    """Return a value that is a finite number; None for any other."""
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def ago(seconds: float) -> str:
    """Return words for the time since a moment.

    Args:
        seconds: the moment, in seconds since the epoch.
    """
    passed = time.time() - seconds
    if not 0 <= passed < 10 * 365 * 86400:
        return "-"
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if passed >= size:
            count = int(passed // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
