"""What a run directory says of a run: configuration, metrics, scores, state."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmrl.errors import UsageError
from lmrl.report.reading import Problems, count, number, read_lines, read_object, text
from lmrl.runs.names import CONFIG, FAILURES, MARKER, METRICS, SCORES, STATUS, SUMMARY

MAX_METRICS = 400
"""Most metrics of a run that are kept."""
MAX_FAILURES = 100
"""Most failed episodes that are kept."""
MAX_RUNS = 200
"""Most runs that a folder of runs is searched for."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreRow:
    """A line of `scores.jsonl`.

    Attributes:
        policy: label of the policy.
        update: updates before the evaluation.
        selecting: whether the score only chose the best checkpoint.
        mean: mean return.
        ci95: its 95 % interval over episodes; None if there is none.
        normalised: normalised score; None if unknown.
        episodes: number of episodes; None if unknown.
        success: share of successes; None if unknown.
    """

    policy: str
    update: int
    selecting: bool
    mean: float
    ci95: tuple[float, float] | None
    normalised: float | None
    episodes: int | None
    success: float | None


@dataclass(frozen=True)
class RunData:
    """A run as its directory shows it.

    Attributes:
        key: short text that identifies the directory in a page.
        name: name for readers.
        folder: run directory.
        config: resolved experiment.
        metrics: values of each metric with their updates, each `[n]`.
        scores: scores in order.
        status: last state of the run.
        summary: summary of a finished run; empty otherwise.
        failures: the first failed episodes.
        problems: sentences about what could not be read.
    """

    key: str
    name: str
    folder: Path
    config: dict[str, Any]
    metrics: dict[str, tuple[Floats, Floats]]
    scores: tuple[ScoreRow, ...]
    status: dict[str, Any]
    summary: dict[str, Any]
    failures: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]

    @property
    def task(self) -> str:
        """Name of the task; `unknown` if the configuration does not name it."""
        return text(self.config.get("task"), "unknown")

    @property
    def algorithm(self) -> str:
        """Name of the algorithm; `unknown` if the configuration does not name it."""
        found = self.config.get("algorithm")
        return text(found.get("name"), "unknown") if isinstance(found, dict) else "unknown"

    @property
    def seed(self) -> int | str | None:
        """Seed of the run; None if unknown."""
        found = self.config.get("seed")
        return found if isinstance(found, int | str) and not isinstance(found, bool) else None

    @property
    def options(self) -> dict[str, Any]:
        """Options of the task."""
        found = self.config.get("options")
        return found if isinstance(found, dict) else {}

    @property
    def phase(self) -> str:
        """State of the run in a word."""
        return text(self.status.get("phase"), "finished" if self.summary else "unknown")

    @property
    def finals(self) -> dict[str, ScoreRow]:
        """The last score of each policy, without those that chose the best checkpoint."""
        found: dict[str, ScoreRow] = {}
        for row in self.scores:
            if not row.selecting and (
                row.policy not in found or row.update >= found[row.policy].update
            ):
                found[row.policy] = row
        return found

    def ledger(self) -> dict[str, int]:
        """Return the counts of episodes by their use, as far as they are known."""
        found = self.summary.get("ledger") or self.status.get("ledger")
        if not isinstance(found, dict):
            return {}
        return {name: n for name, value in found.items() if (n := count(value)) is not None}


def key_of(folder: Path) -> str:
    """Return a short text that identifies a run directory."""
    return hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:12]


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return a name for each folder: its last part, with parents where names would be equal."""
    parts = [folder.absolute().parts for folder in folders]
    depth = [1] * len(parts)
    while True:
        names = ["/".join(part[-n:]) for part, n in zip(parts, depth, strict=True)]
        longer = [
            i for i, name in enumerate(names) if names.count(name) > 1 and depth[i] < len(parts[i])
        ]
        if not longer:
            return names
        for i in longer:
            depth[i] += 1


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the run directories among paths and in the folders that they name.

    Args:
        paths: run directories, or folders with run directories up to two levels below.

    Raises:
        UsageError: if a path is not a folder, or has no run in it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path} is not a folder; give a run directory")
        runs = [path] if is_run(path) else _below(path)
        if not runs:
            raise UsageError(
                f"{path} is not a run directory and has none in it (no {MARKER}, no {CONFIG}); "
                "'lmrl train PRESET --run-dir DIR' makes one"
            )
        found += [run for run in runs if run.resolve() not in {other.resolve() for other in found}]
    return found[:MAX_RUNS]


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run directory."""
    return (folder / MARKER).is_file() or (folder / CONFIG).is_file()


def _below(folder: Path, levels: int = 2) -> list[Path]:
    """Return the runs in a folder; those inside a run directory are parts of that run."""
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    runs: list[Path] = []
    for path in inner:
        if is_run(path):
            runs.append(path)
        elif levels > 1 and not path.name.startswith("."):
            runs += _below(path, levels - 1)
    return runs


def read_run(folder: Path, name: str = "", whole: bool = True) -> RunData:
    """Return what a run directory says; what cannot be read is among the problems.

    Args:
        folder: run directory.
        name: name for readers; its folder's if empty.
        whole: whether metrics and failures are read too, which may take seconds.
    """
    problems = Problems()
    config = read_object(folder / CONFIG, problems)
    if not config and not problems.sentences:
        problems.add(f"{CONFIG} is missing; task and algorithm are unknown")
    failures = read_lines(folder / FAILURES, problems) if whole else []
    metrics = read_lines(folder / METRICS, problems) if whole else []
    scores = _scores(read_lines(folder / SCORES, problems), problems)
    return RunData(
        key=key_of(folder),
        name=text(_printable(name or folder.absolute().name), "run"),
        folder=folder,
        config=config,
        metrics=_metrics(metrics, problems),
        scores=tuple(scores),
        status=read_object(folder / STATUS, problems),
        summary=read_object(folder / SUMMARY, problems),
        failures=tuple(failures[:MAX_FAILURES]),
        problems=tuple(problems.sentences),
    )


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _metrics(rows: list[dict[str, Any]], problems: Problems) -> dict[str, tuple[Floats, Floats]]:
    """Return the numbers of each metric with their updates."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        update = number(row.get("update"))
        if update is None:
            problems.add(f"{METRICS} has lines without an update; they were left out")
            continue
        for name, value in row.items():
            figure = number(value)
            if name == "update" or figure is None:
                continue
            if name not in found and len(found) == MAX_METRICS:
                problems.add(f"{METRICS} has more than {MAX_METRICS} metrics; the rest is left out")
                continue
            updates, values = found.setdefault(name, ([], []))
            updates.append(update)
            values.append(figure)
    return {name: (np.array(x, float), np.array(y, float)) for name, (x, y) in found.items()}


def _scores(rows: list[dict[str, Any]], problems: Problems) -> list[ScoreRow]:
    found = []
    for row in rows:
        mean, update = number(row.get("return_mean")), count(row.get("update"))
        if mean is None or update is None or not isinstance(row.get("policy"), str):
            problems.add(f"{SCORES} has lines without policy, update or return; they were left out")
            continue
        ends = row.get("ci95")
        bounds = [number(end) for end in ends] if isinstance(ends, list) else []
        ci95 = None
        if len(bounds) == 2 and bounds[0] is not None and bounds[1] is not None:
            ci95 = (bounds[0], bounds[1])
        found.append(
            ScoreRow(
                row["policy"],
                update,
                row.get("selecting") is True,
                mean,
                ci95,
                number(row.get("normalised")),
                count(row.get("episodes")),
                number(row.get("success")),
            )
        )
    return found
