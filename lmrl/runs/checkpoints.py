"""Which checkpoints of a run are whole.

A checkpoint's folder gets its name when everything is written. A machine that loses its power may
still cut a file, and a copy may be interrupted. So the state file has the size of every file.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmrl.files import write_json
from lmrl.runs.names import CHECKPOINTS, LAST, STATE, checkpoint

STEP = re.compile(r"step-(\d+)")

FILES = "files"
"""Field of the state with the size in bytes of every other file, by its relative path."""


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state file of a checkpoint, after all of its other files.

    Args:
        folder: folder of the checkpoint.
        state: values for JSON.
    """
    write_json(folder / STATE, {**state, FILES: _sizes(folder)})


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state of a checkpoint that is whole.

    Raises:
        ValueError: if a file is missing or has another size than it was written with; the message
            says which.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        sizes = state.pop(FILES)
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"{folder.name} has no readable {STATE}") from error
    there = _sizes(folder)
    for name, size in sizes.items():
        if there.get(name) != size:
            found = f"{there[name]} of its {size} bytes" if name in there else "is missing"
            raise ValueError(f"{name} of {folder.name} {'has ' * (name in there)}{found}")
    return state


def newest_first(run: Path) -> Iterator[Path]:
    """Yield the checkpoints of a run: the last one, then those before it.

    Args:
        run: run directory.
    """
    home, last = run / CHECKPOINTS, checkpoint(run, LAST)
    steps = {int(found[1]): path for path in home.glob("*") if (found := STEP.fullmatch(path.name))}
    found = STEP.fullmatch(last.readlink().name) if last.is_symlink() else None
    newest = int(found[1]) if found else max(steps, default=0)
    yield from (steps[update] for update in sorted(steps, reverse=True) if update <= newest)


def _sizes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != STATE
    }
