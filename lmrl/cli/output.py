"""What commands print: JSON to standard output, and a progress bar to standard error."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")


def print_json(record: object, **settings: Any) -> None:
    """Print a record as indented JSON.

    Args:
        record: value to print.
        settings: keyword arguments of `json.dumps`.
    """
    print(json.dumps(record, indent=2, **settings))


def progress(
    items: Iterable[Item], total: int | None = None, what: str = "episodes"
) -> Iterable[Item]:
    """Yield the items, with a progress bar on standard error if that is a terminal.

    Args:
        items: iterable to go through.
        total: number of items, for the time that is left; None if unknown.
        what: label of the bar.
    """
    from rich.console import Console
    from rich.progress import track

    return track(
        items,
        what,
        total=total,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def resumable(stored: bool) -> Iterator[None]:
    """Say how to go on, if the block is interrupted.

    Args:
        stored: whether the command stores what it has done.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if stored:
            error.add_note("what was done is kept; go on with the same options and --resume")
        raise
