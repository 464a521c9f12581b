"""Data sets: Parquet files of trajectories, written whole or not at all, read as a stream."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmrl.errors import DataError, UsageError
from lmrl.files import atomic_file, atomic_folder, writable
from lmrl.schema import check, from_table, table_returns, to_table
from lmrl.seeds import mixture_rng, shuffle_rng
from lmrl.trajectory import Trajectory

SHARD = 1000
"""Number of episodes of a file."""


def write(trajectories: Iterable[Trajectory], folder: Path, shard: int = SHARD) -> int:
    """Write trajectories to a folder as Parquet files, and return their number.

    Each file appears under its name only when it is complete.

    Args:
        trajectories: episodes to write.
        folder: folder of the data set.
        shard: number of episodes of a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part: list[Trajectory] = []
    count = number = 0
    for trajectory in trajectories:
        part.append(trajectory)
        if len(part) == shard:
            write_table(to_table(part), folder / f"part-{number:05d}.parquet")
            count, number, part = count + len(part), number + 1, []
    if part:
        write_table(to_table(part), folder / f"part-{number:05d}.parquet")
    return count + len(part)


def write_new(trajectories: Iterable[Trajectory], folder: Path) -> int:
    """Write a new data set whole or not at all, and return its number of episodes.

    Raises:
        UsageError: if the folder exists and is not empty, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; choose a new folder with --out")
    writable(folder.parent, "the folder of")
    with atomic_folder(folder) as temporary:
        return write(trajectories, temporary)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table to a Parquet file; a crash leaves the old file or none, never a part of one.

    Args:
        table: episodes in Arrow form.
        path: file to write; missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def files(source: Path | str) -> list[Path]:
    """Return the Parquet files of a data set, a folder or one file, after a look at each footer.

    Raises:
        DataError: if there is none, or one is cut off or not ours.
    """
    source = Path(source)
    paths = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    if not paths or not paths[0].exists():
        raise DataError(
            f"no data set at {source}: give a folder with .parquet files or one such file; "
            "'lmrl data generate TASK --out DIR' makes one"
        )
    for path in paths:
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"{path} is cut off or not a Parquet file ({error}); delete it or make it again"
            ) from error
        check(schema, str(path))
    return paths


def check_for(source: Path, task: str) -> None:
    """Refuse a data set that a policy for a task cannot learn from.

    Args:
        source: folder of Parquet files, or one file.
        task: name of the task.

    Raises:
        DataError: if it has episodes of another task, no episode, or only empty actions; and as
            `load` does.
    """
    said = False
    for path in files(source):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["task"]):
                for other in batch.column("task").unique().to_pylist():
                    if other != task:
                        raise DataError(
                            f"{path} has episodes of {other}, and the task is {task}; give data of "
                            "this task, or --task"
                        )
            for batch in () if said else file.iter_batches(batch_size=1024, columns=["turns"]):
                turns = batch.column("turns").flatten()
                if pc.sum(pc.binary_length(turns.field("action"))).as_py():
                    said = True
                    break
    if not said:
        raise DataError(f"{source} has no episode with an action in it; there is nothing to learn")


def load(
    source: Path | str,
    seed: int | None = None,
    loop: bool = False,
    buffer: int = 4096,
    keep: NDArray[np.bool_] | None = None,
) -> Iterator[Trajectory]:
    """Yield the trajectories of a data set, file by file.

    Args:
        source: folder of Parquet files, or one file.
        seed: seed of the order of files, and of episodes within a buffer; None keeps the stored
            order.
        loop: whether to begin again at the end, in another order, without end.
        buffer: number of episodes in the buffer.
        keep: mask of the episodes to yield, in stored order; None yields all.

    Raises:
        DataError: if a file is missing, cut off or not ours.
    """
    paths = files(source)
    counts = [pq.read_metadata(path).num_rows for path in paths]
    first = dict(zip(paths, np.cumsum([0, *counts[:-1]]).tolist(), strict=True))
    epoch = 0
    while True:
        rng = shuffle_rng(seed, epoch) if seed is not None else None
        order = list(paths)
        if rng:
            rng.shuffle(order)
        yield from _shuffled(_read(order, first, keep), rng, buffer)
        if not loop:
            return
        epoch += 1


def mixture(text: str) -> dict[Path, float]:
    """Return data sets and their shares, which add up to 1.

    Args:
        text: one path, or several with weights: `a:0.5 b:0.5`. A path that exists is one path,
            whatever signs it holds.

    Raises:
        UsageError: for a weight that is not a positive number.
    """
    if Path(text).exists():
        return {Path(text): 1.0}
    parts = _parts(text)
    if len(parts) == 1 and ":" not in parts[0].rpartition("/")[2]:
        return {Path(text): 1.0}
    weights = {}
    for part in parts:
        path, _, weight = part.rpartition(":")
        try:
            weights[Path(path)] = float(weight)
        except ValueError:
            weights[Path(path)] = 0.0
        if not path or not weights[Path(path)] > 0:
            raise UsageError(
                f"'{part}' of the mixture '{text}' is not PATH:WEIGHT with a weight above 0, like "
                "'data/a:0.5 data/b:0.5'"
            )
    total = sum(weights.values())
    return {path: weight / total for path, weight in weights.items()}


def _parts(text: str) -> list[str]:
    """Return the parts of a mixture, split at spaces after a weight where that gives paths that
    exist, else at every space."""
    pieces = re.split(r"(?<=:)([^\s:/]+)(?:\s+|$)", text)
    joined = [path + weight for path, weight in zip(pieces[::2], pieces[1::2], strict=False)]
    if not pieces[-1] and all(Path(part.rpartition(":")[0]).exists() for part in joined):
        return joined
    return text.split()


def load_mixture(
    parts: Mapping[Path, float], seed: int, keep: Mapping[Path, NDArray[np.bool_]] | None = None
) -> Iterator[Trajectory]:
    """Yield episodes of several data sets without end, each from one that is drawn by its share.

    Args:
        parts: shares of the data sets, by their paths.
        seed: seed of the draws, and of the order of each data set.
        keep: mask of the episodes to yield of each data set, in stored order; None yields all.
    """
    rng = mixture_rng(seed)
    streams = [load(path, seed, loop=True, keep=keep[path] if keep else None) for path in parts]
    shares = list(parts.values())
    while True:
        chosen = streams[0] if len(streams) == 1 else rng.choices(streams, shares)[0]
        yield next(chosen)


def stored_returns(source: Path) -> NDArray[np.float64]:
    """Return the return of every episode of a data set, in stored order.

    Raises:
        DataError: as `load` does.
    """
    parts = []
    for path in files(source):
        with pq.ParquetFile(path) as file:
            parts += [
                table_returns(pa.Table.from_batches([batch]))
                for batch in file.iter_batches(batch_size=1024, columns=["turns"])
            ]
    return np.concatenate(parts) if parts else np.empty(0)


def stored_seeds(source: Path) -> NDArray[np.int64]:
    """Return the seed of every episode of a data set, in stored order.

    Raises:
        DataError: as `load` does.
    """
    parts = [pq.read_table(path, columns=["seed"])["seed"].to_numpy() for path in files(source)]
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def _read(
    paths: list[Path], first: Mapping[Path, int], keep: NDArray[np.bool_] | None
) -> Iterator[Trajectory]:
    for path in paths:
        place = first[path]
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=256):
                    table = pa.Table.from_batches([batch])
                    if keep is not None:
                        chosen = keep[place : place + len(table)]
                        place += len(table)
                        table = table.filter(pa.array(chosen))
                    yield from from_table(table)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error


def _shuffled(
    stream: Iterator[Trajectory], rng: random.Random | None, size: int
) -> Iterator[Trajectory]:
    if rng is None:
        yield from stream
        return
    held: list[Trajectory] = []
    for trajectory in stream:
        if len(held) < size:
            held.append(trajectory)
            continue
        index = rng.randrange(size)
        yield held[index]
        held[index] = trajectory
    rng.shuffle(held)
    yield from held
