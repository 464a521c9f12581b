"""Data sets: Parquet files of trajectories, written whole or not at all, read as a stream."""

import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lmrl.errors import DataError, UsageError
from lmrl.schema import check, from_table, to_table
from lmrl.trajectory import Trajectory

SHARD = 1000
"""Episodes a file."""


def write(trajectories: Iterable[Trajectory], folder: Path, shard: int = SHARD) -> int:
    """Write trajectories to `folder` as Parquet shards and return how many there were.

    Each file appears under its name only when it is complete.
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


def write_table(table: pa.Table, path: Path) -> None:
    """Write one file; a crash leaves the old file or none, never a part of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def files(source: Path) -> list[Path]:
    """Return the Parquet files of a data set, a folder or one file, after a look at each footer.

    Raises:
        DataError: if there is none, or one is cut off or not ours.
    """
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


def load(
    source: Path, seed: int | None = None, loop: bool = False, buffer: int = 4096
) -> Iterator[Trajectory]:
    """Yield the trajectories of a data set, file by file.

    Args:
        source: a folder of Parquet files, or one file.
        seed: shuffle files, and episodes through a buffer; None keeps the stored order.
        loop: start over at the end, in another order, for ever.
        buffer: episodes held for shuffling.

    Raises:
        DataError: if a file is missing, cut off or not ours.
    """
    paths = files(source)
    epoch = 0
    while True:
        rng = random.Random(f"{seed}:{epoch}") if seed is not None else None
        order = list(paths)
        if rng:
            rng.shuffle(order)
        yield from _shuffled(_read(order), rng, buffer)
        if not loop:
            return
        epoch += 1


def _read(paths: list[Path]) -> Iterator[Trajectory]:
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=256):
                    yield from from_table(pa.Table.from_batches([batch]))
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


def writable(folder: Path, what: str) -> None:
    """Make `folder` and prove that files can be written there.

    Raises:
        UsageError: if not, with the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"{what} {folder} cannot be written ({error.strerror}); choose another with --run-dir "
            "or --out"
        ) from error
