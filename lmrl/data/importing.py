"""Import the published data sets: their files in, our trajectories out, as a stream."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lmrl.data.formats import READERS
from lmrl.data.formats.episode import Reader
from lmrl.errors import DataError, unknown
from lmrl.trajectory import Trajectory


def imported(task: str, files: Sequence[Path]) -> Iterator[Trajectory]:
    """Return the episodes of published files, in their order.

    Args:
        task: whose files they are; one that the published benchmark has.
        files: one or more; of the NumPy files that belong together any one, or all.

    Raises:
        UsageError: for another task.
        DataError: if a file is not there; from the iterator, if one has another form than the
            published files of the task, or no episodes.
    """
    if task not in READERS:
        raise unknown("task with published data", task, READERS)
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is no file; give the published files of {task}")
    # Four NumPy files are one source, read through any of them.
    sources = [file.with_name("states.npy") if file.suffix == ".npy" else file for file in files]
    return _episodes(READERS[task], list(dict.fromkeys(sources)))


def _episodes(read: Reader, files: Sequence[Path]) -> Iterator[Trajectory]:
    for file in files:
        empty = True
        for trajectory in read(file):
            yield trajectory
            empty = False
        if empty:
            raise DataError(f"{file} holds no rows")
