"""Runs as a server shows them: read again when their files have changed, and episodes by page."""

import hashlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from lmrl.errors import DataError, UsageError
from lmrl.report.environments import Environments
from lmrl.report.episodes.embed import Columns
from lmrl.report.episodes.figures import EpisodeFile, Figures, batches, episode_files, figures
from lmrl.report.episodes.learner import LearnerFile
from lmrl.report.episodes.transcripts import TokenTexts, read_episode, transcript
from lmrl.report.overview.content import listing, overview
from lmrl.report.overview.runs import RunData, find_runs, key_of, names_of, read_run
from lmrl.report.reading import Problems
from lmrl.runs.names import CONFIG, FAILURES, METRICS, SCORES, STATUS, SUMMARY, learner_file

WATCHED = (CONFIG, METRICS, SCORES, FAILURES, STATUS, SUMMARY)
"""Files whose changes make a run be read again."""
MAX_EPISODES = 200_000
"""Most episodes whose figures a page gets."""
MAX_QUERY = 1_000
"""Longest text that is searched for, in characters."""

Signature = tuple[tuple[int, int], ...]
"""Size and time of change of each watched file."""


@dataclass(frozen=True)
class Answer:
    """What the server answers.

    Attributes:
        tag: text that changes when the content does.
        content: plain JSON values.
    """

    tag: str
    content: dict[str, Any]


class Live:
    """Run directories that may change while they are shown. Safe to use from several threads.

    Args:
        paths: run directories, or folders in which runs appear.
        load_tasks: whether tasks that runs name as `module:Class` are imported.
    """

    def __init__(self, paths: Sequence[Path], load_tasks: bool = False) -> None:
        self.paths = list(paths)
        self.environments = Environments(load_tasks)
        self._lock = threading.RLock()
        self._runs: dict[Path, tuple[Signature, RunData]] = {}
        self._figures: dict[Path, tuple[tuple[int, int], Figures | None, Problems]] = {}
        self._rows: dict[Path, tuple[tuple[int, int], set[int]]] = {}
        self._learned: tuple[tuple[Path, tuple[int, int]], LearnerFile] | None = None
        self._tokens: dict[str, TokenTexts] = {}

    def folders(self) -> dict[str, tuple[Path, str]]:
        """Return the run directories that are there now, with their names, by key."""
        found: list[Path] = []
        for path in self.paths:
            try:
                found += [run for run in find_runs([path]) if run not in found]
            except UsageError:  # a folder in which no run has appeared yet
                continue
        names = names_of(found)
        return {key_of(run): (run, name) for run, name in zip(found, names, strict=True)}

    def runs(self, keys: Sequence[str]) -> list[RunData]:
        """Return runs by their keys, read again if their files have changed.

        Raises:
            DataError: for a key that is not one of a run.
        """
        with self._lock:
            folders = self.folders()
            for key in keys:
                if key not in folders:
                    raise DataError(f"there is no run '{key[:20]}' any more; reload the page")
            return [self._run(*folders[key]) for key in dict.fromkeys(keys)]

    def _run(self, folder: Path, name: str) -> RunData:
        signature = tuple(_stamp(folder / file) for file in WATCHED)
        kept = self._runs.get(folder)
        if kept is None or kept[0] != signature:
            kept = self._runs[folder] = (signature, read_run(folder, name))
        return kept[1]

    def every(self) -> dict[str, Any]:
        """Return the state of every run."""
        return listing([read_run(run, name, whole=False) for run, name in self.folders().values()])

    def tag(self, keys: Sequence[str]) -> str:
        """Return a text that changes when one of the runs does."""
        with self._lock:
            runs = self.runs(keys)
            marks = [str(self._runs[run.folder][0]) for run in runs]
        return hashlib.sha256("\n".join([*keys, *marks]).encode()).hexdigest()[:16]

    def overview(self, keys: Sequence[str]) -> Answer:
        """Return the overview of runs."""
        return Answer(self.tag(keys), overview(self.runs(keys), self.environments))

    def index(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the figures of the runs' episodes as columns; new files are read, others kept."""
        columns, problems, count, stored = Columns(), Problems(), 0, 0
        for number, run in enumerate(self.runs(keys)):
            for file in episode_files(run, number):
                found, own = self._figures_of(file)
                for sentence in own.sentences:
                    problems.add(f"{run.name}: {sentence}")
                if found is None:
                    continue
                stored += len(found.row)
                places = range(min(len(found.row), MAX_EPISODES - count))
                columns.add(file, found, places, self._learned_rows(run, file))
                count += len(places)
        if stored > count:
            problems.add(f"{count} of {stored} episodes are listed; open fewer runs at once")
        return {**columns.to_json(), "problems": problems.sentences}

    def _figures_of(self, file: EpisodeFile) -> tuple[Figures | None, Problems]:
        """Return the figures of a file and what is wrong with it, read again if it has changed."""
        stamp = _stamp(file.path)
        with self._lock:
            kept = self._figures.get(file.path)
        if kept is None or kept[0] != stamp:
            problems = Problems()
            kept = (stamp, figures(file, problems), problems)
            with self._lock:
                self._figures[file.path] = kept
        return kept[1], kept[2]

    def episode(self, keys: Sequence[str], number: int, kind: str, name: str, row: int) -> Any:
        """Return an episode for the page.

        Args:
            keys: keys of the page's runs.
            number: index of the run among these.
            kind: purpose of the episode.
            name: name of its file without the suffix.
            row: its row there.

        Raises:
            DataError: if there is no such episode, or it cannot be read.
        """
        run, file = self._file(keys, number, kind, name)
        first = 0
        for table in batches(file.path):
            if row < first + len(table) and row >= first:
                return transcript(
                    read_episode(table.slice(row - first, 1)),
                    self._tokens.setdefault(run.key, TokenTexts([run])),
                    self.environments,
                    self._learner(run, file).of(row),
                )
            first += len(table)
        raise DataError(f"{name[:100]} has no episode {row}")

    def _file(
        self, keys: Sequence[str], number: int, kind: str, name: str
    ) -> tuple[RunData, EpisodeFile]:
        runs = self.runs(keys)
        if not 0 <= number < len(runs):
            raise DataError(f"there is no run {number}")
        for file in episode_files(runs[number], number):
            # Compared with what is there, never made into a path.
            if file.kind == kind and file.path.stem == name:
                return runs[number], file
        raise DataError(f"there is no file '{name[:100]}' of {kind[:20]} episodes")

    def _learned_rows(self, run: RunData, file: EpisodeFile) -> set[int]:
        """Return the rows with quantities of the learner, read again if they have changed."""
        path = learner_file(run.folder, file.kind, file.path.stem)
        stamp = _stamp(path)
        kept = self._rows.get(path)
        if kept is None or kept[0] != stamp:
            kept = self._rows[path] = (stamp, LearnerFile(run, file, Problems()).rows)
        return kept[1]

    def _learner(self, run: RunData, file: EpisodeFile) -> LearnerFile:
        """Return the learner's quantities of a file's episodes; the last ones are kept."""
        path = learner_file(run.folder, file.kind, file.path.stem)
        key = (path, _stamp(path))
        with self._lock:
            if self._learned is None or self._learned[0] != key:
                self._learned = (key, LearnerFile(run, file, Problems()))
            return self._learned[1]

    def search(self, keys: Sequence[str], text: str) -> list[Any]:
        """Return the rows of episodes with a text, as `[run, kind, file, rows]` for each file.

        Args:
            keys: keys of the page's runs.
            text: text to look for; upper and lower case are the same.
        """
        found = []
        for number, run in enumerate(self.runs(keys)):
            for file in episode_files(run, number):
                try:
                    rows = _matching(file.path, text[:MAX_QUERY])
                except DataError:
                    continue
                if rows:
                    found.append([number, file.kind, file.path.stem, rows])
        return found


def _matching(path: Path, text: str) -> list[int]:
    rows: list[int] = []
    first = 0
    columns = ("turns.list.element.observation", "turns.list.element.action", "final")
    for table in batches(path, columns):
        table = table.combine_chunks()
        if not len(table):
            continue
        hits = pc.match_substring(table["final"].chunk(0), text, ignore_case=True).to_numpy(False)
        turns = table["turns"].chunk(0)
        parents = pc.list_parent_indices(turns).to_numpy(False)
        for name in ("observation", "action"):
            said = turns.flatten().field(name)
            has = pc.match_substring(said, text, ignore_case=True).to_numpy(False).astype(bool)
            hits = hits.astype(bool)
            hits[parents[has]] = True
        rows += [first + int(place) for place in hits.nonzero()[0]]
        first += len(table)
    return rows


def _stamp(path: Path) -> tuple[int, int]:
    """Return size and time of change of a file; zeros if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns
