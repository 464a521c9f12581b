"""Import data sets from elsewhere: files in, our trajectories out, as a stream."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats import READERS
from lmrl.data.formats.chat import chat
from lmrl.data.formats.episode import Reader
from lmrl.errors import DataError, UsageError, unknown
from lmrl.trajectory import Trajectory

CHAT = "chat"
"""Form of logged dialogues, in place of the name of a task."""


def imported(
    form: str, files: Sequence[Path], bad: BadRows | None = None, task: str | None = None
) -> Iterator[Trajectory]:
    """Return the episodes of files, in their order.

    Args:
        form: task whose published files they are, or `chat`.
        files: one or more; of the NumPy files that belong together any one, or all.
        bad: rows that may be left out; None leaves out none.
        task: of logged dialogues, the task that the episodes get.

    Raises:
        UsageError: for another task.
        DataError: if a file is not there; from the iterator, if one has another form, or no
            episodes.
    """
    if form == CHAT:
        if task is None:
            raise UsageError("logged dialogues need the task that they belong to; give --task TASK")
        from lmrl.tasks import make

        read = chat(task, make(task))
    elif form not in READERS:
        raise unknown("task with published data", form, [*READERS, CHAT])
    elif task not in (None, form):
        raise UsageError(f"--task belongs to {CHAT}; the published files of {form} are of {form}")
    else:
        read = READERS[form]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is no file; give files of the form {form}")
    # Four NumPy files are one source, read through any of them.
    sources = [file.with_name("states.npy") if file.suffix == ".npy" else file for file in files]
    return _episodes(read, list(dict.fromkeys(sources)), bad or BadRows())


def _episodes(read: Reader, files: Sequence[Path], bad: BadRows) -> Iterator[Trajectory]:
    for file in files:
        empty = True
        for trajectory in read(file, bad):
            yield trajectory
            empty = False
        if empty:
            raise DataError(f"{file} holds no rows" + (" that can be read" if bad.skipped else ""))
    bad.check()
