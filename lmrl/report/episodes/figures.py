"""Stored episodes of runs: their files, and one row of figures for each episode to filter by."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmrl.errors import DataError
from lmrl.report.overview.runs import RunData
from lmrl.report.reading import Problems
from lmrl.runs.names import KINDS, TRAJECTORIES, UPDATE, Kind
from lmrl.schema import check
from lmrl.trajectory import TERMINATED

BATCH = 512
"""Episodes that are read at once."""
MAX_FILES = 20_000
"""Most files of a run that are read."""
COLUMNS = (
    "seed",
    "ending",
    "player",
    "info",
    "turns.list.element.reward",
    "turns.list.element.versions",
)
"""Columns that the figures come from; texts and token ids are not read."""

SUCCESS, NO_SUCCESS, UNKNOWN = 1, 0, -1
"""Outcomes of an episode: what the task said, if anything."""


@dataclass(frozen=True)
class EpisodeFile:
    """A file of episodes.

    Attributes:
        run: index of the run.
        kind: purpose of the episodes.
        path: the file.
        update: update in its name; -1 if there is none.
    """

    run: int
    kind: Kind
    path: Path
    update: int


@dataclass(frozen=True)
class Figures:
    """Figures of the episodes of one file, each `[n]`.

    Attributes:
        row: place in the file.
        returned: undiscounted return.
        length: number of actions.
        version: oldest weight version that sampled a token; -1 if none did.
        outcome: `SUCCESS`, `NO_SUCCESS` or `UNKNOWN`.
        terminated: whether the episode ended by the task's rules.
        seed: seed.
        player: name of the policy.
    """

    row: NDArray[np.int64]
    returned: NDArray[np.float64]
    length: NDArray[np.int64]
    version: NDArray[np.int64]
    outcome: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    seed: NDArray[np.int64]
    player: list[str]


def episode_files(run: RunData, index: int) -> list[EpisodeFile]:
    """Return the files of a run's episodes: evaluation, then selection, then training.

    Args:
        run: the run.
        index: its index, which the files carry.
    """
    found = []
    for kind in reversed(KINDS):
        try:
            paths = sorted((run.folder / TRAJECTORIES / kind).glob("*.parquet"))
        except OSError:
            continue
        for path in paths:
            update = UPDATE.search(path.stem)
            number = int(update[1][:15]) if update else -1
            found.append(EpisodeFile(index, kind, path, number))
    return found[:MAX_FILES]


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the episodes of a file, `BATCH` at a time.

    Args:
        path: file of episodes.
        columns: columns to read; None is all.

    Raises:
        DataError: if the file cannot be read, or does not hold episodes.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path.name} is not a file")
        with pq.ParquetFile(path) as file:
            check(file.schema_arrow, path.name)
            for batch in file.iter_batches(BATCH, columns=None if columns is None else [*columns]):
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} cannot be read: {str(error)[:200]}") from error


def figures(file: EpisodeFile, problems: Problems) -> Figures | None:
    """Return the figures of a file's episodes; None if it cannot be read, with a problem.

    Episodes with a return that is not a finite number are left out.

    Args:
        file: file of episodes.
        problems: collection for what is wrong with it.
    """
    parts: list[dict[str, Any]] = []
    try:
        first = 0
        for table in batches(file.path, COLUMNS):
            parts.append(_figures(table, first))
            first += len(table)
    except DataError as error:
        problems.add(f"{file.kind}: {error}")
    if not parts:
        return None
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
        if name != "player"
    }
    players = [name for part in parts for name in part["player"]]
    good = np.isfinite(joined["returned"])
    if not good.all():
        problems.add(
            f"{file.kind}: {file.path.name} has {int((~good).sum())} episodes with a return that "
            "is not a finite number; they are left out"
        )
    kept = [name for name, keep in zip(players, good, strict=True) if keep]
    return Figures(player=kept, **{name: column[good] for name, column in joined.items()})


def _figures(table: pa.Table, first: int) -> dict[str, Any]:
    table = table.combine_chunks()
    count = len(table)
    turns = table["turns"].chunk(0) if count else pa.array([], table.schema.field("turns").type)
    lengths = np.diff(turns.offsets.to_numpy())
    flat = turns.flatten()
    reward = flat.field("reward").to_numpy(zero_copy_only=False)
    episode = np.repeat(np.arange(count), lengths)
    with np.errstate(all="ignore"):
        returned = np.bincount(episode, weights=reward, minlength=count).astype(float)
    versions = flat.field("versions")
    of_token = np.repeat(episode, np.diff(versions.offsets.to_numpy()))
    oldest = np.full(count, np.iinfo(np.int32).max, np.int64)
    np.minimum.at(oldest, of_token, versions.flatten().to_numpy())
    oldest[oldest == np.iinfo(np.int32).max] = -1
    return {
        "row": np.arange(first, first + count),
        "returned": returned,
        "length": lengths.astype(np.int64),
        "version": oldest,
        "outcome": np.array([_outcome(info) for info in table["info"].to_pylist()], np.int64),
        "terminated": np.array([e == TERMINATED for e in table["ending"].to_pylist()], np.bool_),
        "seed": table["seed"].to_numpy().astype(np.int64),
        "player": [name[:100] for name in table["player"].to_pylist()],
    }


def _outcome(info: str) -> int:
    try:
        found = json.loads(info)
    except (ValueError, RecursionError):
        return UNKNOWN
    success = found.get("success") if isinstance(found, dict) else None
    return UNKNOWN if not isinstance(success, bool) else SUCCESS if success else NO_SUCCESS
