"""What the viewer shows of runs, read through the report's reader."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmrl.report.live import Live
from lmrl.view.index import Index


@dataclass(frozen=True)
class Loaded:
    """Runs at one moment.

    Attributes:
        keys: keys of the runs.
        tag: text that changes when one of them does.
        overview: state, scores and curves, as `lmrl.report.overview` returns them.
        index: figures of the episodes.
    """

    keys: Sequence[str] = ()
    tag: str = ""
    overview: dict[str, Any] = field(default_factory=dict)
    index: Index = field(default_factory=Index)


class Loader:
    """Reads runs, from several threads if need be.

    Args:
        paths: run directories, or folders with runs.
        load_tasks: whether tasks that runs name as `module:Class` are imported.
    """

    def __init__(self, paths: Sequence[Path], load_tasks: bool = False) -> None:
        self.live = Live(paths, load_tasks)

    def newer(self, known: Loaded | None) -> Loaded | None:
        """Return the runs as they are now; None if nothing has changed.

        Args:
            known: the runs as they were; None reads them in any case.

        Raises:
            DataError: if a run was removed while it was read.
        """
        keys = list(self.live.folders())
        tag = self.live.tag(keys)
        if known is not None and (known.tag, list(known.keys)) == (tag, keys):
            return None
        overview = self.live.overview(keys).content
        names = [run["name"] for run in overview["runs"]]
        return Loaded(keys, tag, overview, Index.of(self.live.index(keys), names))
