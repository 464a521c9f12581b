"""Files and folders that appear whole or not at all.

A writer works under a temporary name in the same folder, `.NAME.PID.tmp`, and renames it at the
end. What a killed writer leaves under such a name is never read, and the next write of the same
name removes it.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmrl.errors import UsageError

TEMPORARY = r"\.(?:%s)\.\d+\.tmp"
"""Pattern of temporary names; takes a pattern of the final name."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write a file to; the file gets its name when the block succeeds.

    Readers see the old file or the new one, never a part. If the block raises, the old file stays.

    Args:
        path: name of the file; its folder exists.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder to write into; it gets its name when the block succeeds.

    If the block raises, nothing is left of it, and an old folder stays.

    Args:
        folder: name of the folder; missing parents are made.
        replace: whether an old folder of that name is replaced; otherwise it has to be empty.

    Raises:
        OSError: if there is a folder of that name that is not empty, and `replace` is false.
    """
    old = folder.with_name(f".{folder.name}.old")
    if replace:
        shutil.rmtree(old, ignore_errors=True)
    temporary = _temporary(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if replace and folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    finally:
        _remove(temporary)
    if replace:
        shutil.rmtree(old, ignore_errors=True)


def atomic_link(path: Path, target: str) -> None:
    """Point a symbolic link at another target; readers see the old one or the new one.

    Args:
        path: the link.
        target: target relative to the link's folder.
    """
    with atomic_file(path) as temporary:
        temporary.symlink_to(target)


def strict_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that every reader accepts: a number that is not finite becomes null.

    Args:
        value: plain value of numbers, texts, lists and dictionaries.
        indent: spaces a level; None for one line.
    """

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
    """Write a value to a JSON file; see `atomic_file` and `strict_json`."""
    with atomic_file(path) as temporary:
        temporary.write_text(strict_json(value, indent=2) + "\n", encoding="utf-8")


def writable(folder: Path, what: str) -> None:
    """Make a folder and check that files can be written there.

    Args:
        folder: the folder.
        what: description of the folder, for the message.

    Raises:
        UsageError: if they cannot, with the reason.
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


def _temporary(path: Path) -> Path:
    """Return the temporary name of this process, after removal of those of processes that ended."""
    pattern = re.compile(TEMPORARY % re.escape(path.name))
    if path.parent.is_dir():
        for other in path.parent.glob(".*.tmp"):
            if pattern.fullmatch(other.name) and not _runs(int(other.name.split(".")[-2])):
                _remove(other)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _runs(process: int) -> bool:
    """Return whether another process of this id runs; this one is about to write anew."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
