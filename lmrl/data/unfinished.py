"""Data sets that are made in more than one go.

Until a data set `DIR/NAME` is complete, its episodes are in `DIR/.NAME.partial`, with the settings
that made them. So a process that was stopped goes on where it was.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lmrl.data.store import files, write_table
from lmrl.errors import DataError, UsageError
from lmrl.files import writable, write_json
from lmrl.schema import to_table
from lmrl.trajectory import Trajectory

SETTINGS = "settings.json"


def partial_folder(folder: Path) -> Path:
    """Return the folder of a data set that is not complete."""
    return folder.with_name(f".{folder.name}.partial")


def make_data_set(
    episodes: Callable[[int], Iterable[Trajectory]],
    folder: Path,
    settings: Mapping[str, Any],
    resume: bool,
    shard: int,
) -> int:
    """Write a data set, or go on with one that is not complete; return its number of episodes.

    What was made before an error or an interrupt is kept for the next call.

    Args:
        episodes: function that returns the episodes from a number on.
        folder: folder of the data set, new or empty.
        settings: everything that determines the episodes, as JSON values.
        resume: whether to go on with the data set.
        shard: number of episodes of a file.

    Raises:
        UsageError: if the folder is not empty, or the data set was begun and `resume` is false, or
            was not begun, or begun with other settings, and `resume` is true.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        remedy = "it is complete; leave --resume out and choose" if resume else "choose"
        raise UsageError(f"{folder} is not empty; {remedy} a new folder with --out")
    partial = partial_folder(folder)
    done = 0
    if resume:
        check_same(partial / SETTINGS, settings, f"{folder} has no data set to go on with")
        done = sum(pq.read_metadata(path).num_rows for path in _parts(partial))
    elif partial.exists():
        raise UsageError(
            f"{folder} was begun and is not complete; go on with --resume, or delete {partial}"
        )
    writable(folder.parent, "the folder of")
    partial.mkdir(exist_ok=True)
    write_json(partial / SETTINGS, dict(settings))
    try:
        count = done + _append(episodes(done), partial, shard)
    finally:
        if not any(_parts(partial)):
            shutil.rmtree(partial)
    (partial / SETTINGS).unlink()
    partial.rename(folder)
    return count


def _parts(partial: Path) -> list[Path]:
    return files(partial) if any(partial.glob("*.parquet")) else []


def _append(episodes: Iterable[Trajectory], folder: Path, shard: int) -> int:
    """Write episodes to new files of a folder, those before an error too; return their number."""
    number, count = len(_parts(folder)), 0
    part: list[Trajectory] = []

    def flush() -> None:
        nonlocal number, count
        if part:
            write_table(to_table(part), folder / f"part-{number:05d}.parquet")
            number, count = number + 1, count + len(part)
            part.clear()

    stream: Iterator[Trajectory] = iter(episodes)
    try:
        for episode in stream:
            part.append(episode)
            if len(part) == shard:
                flush()
    finally:
        flush()
    return count


def check_same(path: Path, settings: Mapping[str, Any], missing: str) -> None:
    """Refuse to go on with what was begun with other settings.

    Args:
        path: file with the settings with which it was begun.
        settings: settings that are given now.
        missing: sentence for a file that is missing, without its end.

    Raises:
        UsageError: for the first setting that differs.
        DataError: if the file is missing or cannot be read.
    """
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(begun, dict):
            raise ValueError("it does not hold an object")
    except (OSError, ValueError) as error:
        raise DataError(f"{missing} ({error}); leave --resume out") from error
    wanted = json.loads(json.dumps(dict(settings)))
    for name in {**begun, **wanted}:
        if begun.get(name) != wanted.get(name):
            raise UsageError(
                f"--resume goes on with {name} {begun.get(name)!r}, and {wanted.get(name)!r} is "
                "given; give the same, or choose another folder with --out"
            )
