"""A run directory as a whole: its lock, its beginning, the run that it replaces, and its end."""

import fcntl
import json
import logging
import os
import shutil
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lmrl.errors import OutOfTime, Terminated, UsageError
from lmrl.files import writable, write_json
from lmrl.interrupt import terminated
from lmrl.runs.names import (
    ABORTED,
    CONFIG,
    LAST,
    LOG,
    MARKER,
    MOVING,
    OWN,
    RECORD,
    REPLACED,
    STATUS,
    SUMMARY,
    checkpoint,
)

log = logging.getLogger(__name__)

TRACEBACK = "the traceback is in"
"""Beginning of the note that names the log file."""

FORMAT = 1
"""Version of the layout of a run directory; stands in its marker."""


class RunDirectory:
    """A run directory that is being written: its lock, its beginning and its end.

    Args:
        folder: the directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        self._made = False
        self.put_back = False

    @property
    def finished(self) -> bool:
        """Whether a summary was written: the run came to its end."""
        return (self.folder / SUMMARY).exists()

    @property
    def holds_run(self) -> bool:
        """Whether the directory is marked as a run's and has a run's configuration."""
        return (self.folder / MARKER).is_file() and (self.folder / CONFIG).exists()

    def check_marked(self) -> None:
        """Check that the directory is marked as a run's.

        Raises:
            UsageError: if it is not.
        """
        if not (self.folder / MARKER).is_file():
            raise UsageError(f"{self.folder} is not a run directory: it has no {MARKER}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Mark the directory as a run's, make it if needed, and keep other processes out of it.

        The lock ends with the process, in whatever way that ends. May be nested.

        Raises:
            UsageError: if the directory cannot be written, holds anything else than a run, or
                another process works on it.
        """
        if self._lock is not None:
            yield
            return
        self._check_foreign()
        made, marked = not self.folder.exists(), (self.folder / MARKER).exists()
        writable(self.folder, "the run directory")
        self._lock = self._acquire()
        try:
            self._recover()
            yield
        finally:
            if not marked and [path.name for path in self.folder.iterdir()] == [MARKER]:
                (self.folder / MARKER).unlink()
                if made:
                    self.folder.rmdir()
            self._lock.close()
            self._lock = None

    def _check_foreign(self) -> None:
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; choose another --run-dir")
        if (folder / MARKER).is_file() or not folder.exists():
            return
        if any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty and not a run directory (it has no {MARKER}), so nothing "
                "is written or replaced there; choose another --run-dir"
            )

    def _acquire(self) -> IO[str]:
        path = self.folder / MARKER
        while True:
            file = path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                with file, suppress(json.JSONDecodeError):
                    held = json.load(file)
                    raise UsageError(
                        f"process {held['pid']} on {held['host']} works on {self.folder}; wait "
                        "for it, end it, or choose another --run-dir"
                    ) from None
                time.sleep(0.05)  # it has locked the file, and not yet written its id
                continue
            except OSError as error:  # some network file systems have no locks
                log.warning("%s cannot be locked (%s); let one process work on it", path, error)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
            file.close()  # removed by the process that held it: lock the one that is there now
            self.folder.mkdir(parents=True, exist_ok=True)
        file.truncate(0)
        json.dump({"format": FORMAT, "pid": os.getpid(), "host": socket.gethostname()}, file)
        file.write("\n")
        file.flush()
        return file

    def prepare(self, config: Mapping[str, Any], overwrite: bool = False) -> None:
        """Begin a new run with its resolved configuration.

        A run that is there is set aside. It is deleted when the new one has saved a checkpoint,
        and put back if the new one ends before that.

        Raises:
            UsageError: if the directory holds a run and `overwrite` is false.
        """
        if self.holds_run:
            if not overwrite:
                raise UsageError(
                    f"{self.folder} holds a run already; go on with --resume, replace it with "
                    "--overwrite, or choose another --run-dir"
                )
            # Two names, so that it is clear what is where after a process was killed here.
            self._moving.mkdir()
            _move_own(self.folder, self._moving)
            self._moving.rename(self._replaced)
        elif checkpoint(self.folder, LAST).is_symlink():
            raise UsageError(
                f"{self.folder} has checkpoints and no {CONFIG}, so nothing is begun there; copy "
                f"{checkpoint(self.folder, LAST) / RECORD} to {self.folder / CONFIG} to go on with "
                "--resume, or choose another --run-dir"
            )
        self.begin(config)

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write the configuration: from now on the directory holds a run.

        After a `UsageError` before `started`, everything that the run wrote is deleted.
        """
        write_json(self.folder / CONFIG, config)
        self._made = True

    @property
    def _replaced(self) -> Path:
        """The old run, whole, while the directory holds the new one."""
        return self.folder / REPLACED

    @property
    def _moving(self) -> Path:
        """A part of the old run; the rest is in the directory, and nothing of a new one."""
        return self.folder / MOVING

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Record how the block ends, if it raises.

        After a `UsageError` in a run that had not started, everything is as it was before the run.
        After any other end of a run that had saved nothing, the run that it was to replace is put
        back.
        """
        try:
            yield
        except BaseException as error:
            if self._made and isinstance(error, UsageError):
                _delete_own(self.folder)
                self._restore()
            else:
                with suppress(OSError):  # a full disk may be what ended the run
                    self.status(**_ended(error))
                    self._trace(error)
                self._put_back()
            raise

    def started(self) -> None:
        """Record that the run could start: from now on its files stay, whatever it raises."""
        self._made = False

    def settle(self) -> None:
        """Delete the run that this one replaces, and what is left of earlier ones."""
        shutil.rmtree(self._replaced, ignore_errors=True)
        shutil.rmtree(self.folder / ABORTED, ignore_errors=True)

    def _put_back(self) -> None:
        """Put back the run that was to be replaced, if there is one; keep the new one aside."""
        if not self._replaced.exists():
            return
        aborted = self.folder / ABORTED
        shutil.rmtree(aborted, ignore_errors=True)
        aborted.mkdir()
        _move_own(self.folder, aborted)
        self._restore()
        self.put_back = True
        log.warning(
            "the new run had saved nothing: %s holds the old one again, and the new one is in %s",
            self.folder,
            aborted,
        )

    def _restore(self) -> None:
        if self._replaced.exists():
            self._replaced.rename(self._moving)
            self._finish_moving()

    def _finish_moving(self) -> None:
        if self._moving.exists():
            _move_own(self._moving, self.folder)
            self._moving.rmdir()

    def _recover(self) -> None:
        """Finish a replacement that a killed process had begun."""
        self._finish_moving()
        if self._replaced.exists():
            if checkpoint(self.folder, LAST).is_symlink():
                self.settle()
            else:
                self._put_back()

    def status(self, **facts: Any) -> None:
        """Replace the status file.

        Args:
            facts: values for JSON; the time and the process id are added.
        """
        write_json(self.folder / STATUS, {"time": time.time(), "pid": os.getpid(), **facts})

    def _trace(self, error: BaseException) -> None:
        """Append the traceback of an error to the log file, which the error then names."""
        if isinstance(error, UsageError | KeyboardInterrupt | OutOfTime):
            return
        path = self.folder / LOG
        with path.open("a", errors="backslashreplace") as log:
            log.write("".join(traceback.format_exception(error)))
        # A start policy is a run of its own, within another one.
        if not any(note.startswith(TRACEBACK) for note in getattr(error, "__notes__", [])):
            error.add_note(f"{TRACEBACK} {path}")


def _ended(error: BaseException) -> dict[str, str]:
    """Return the last status of a run that raised."""
    if isinstance(error, Terminated) or terminated():
        return {"phase": "terminated"}
    if isinstance(error, OutOfTime):
        return {"phase": "out of time"}
    if isinstance(error, KeyboardInterrupt):
        return {"phase": "interrupted"}
    return {"phase": "stopped", "error": f"{type(error).__name__}: {error}"}


def _own(folder: Path) -> Iterator[Path]:
    """Yield the files and folders that a run wrote into its directory, as `OWN` names them."""
    for part, names in OWN.items():
        if (folder / part).is_dir() and not (folder / part).is_symlink():
            found = [path for path in (folder / part).iterdir() if names.fullmatch(path.name)]
            yield from sorted(found)


def _move_own(folder: Path, target: Path) -> None:
    """Move what a run wrote; what is not the run's stays, and so do the folders that hold it."""
    for path in list(_own(folder)):
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    _remove_empty(folder)


def _delete_own(folder: Path) -> None:
    """Delete what a run wrote; what is not the run's stays, and so do the folders that hold it."""
    for path in list(_own(folder)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    for part in filter(None, OWN):
        with suppress(OSError):  # it is not there, or holds what is not the run's
            (folder / part).rmdir()
