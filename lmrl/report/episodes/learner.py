"""Per-token quantities of the learner, which a run stores for some of its episodes.

The files are those of `lmrl.runs.names.learner_file`. Every column that is a list of numbers is a
quantity, with one entry for each action token that the task applied.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmrl.report.episodes.figures import EpisodeFile
from lmrl.report.overview.runs import RunData
from lmrl.report.reading import Problems
from lmrl.runs.names import learner_file
from lmrl.trajectory import Trajectory

MAX_QUANTITIES = 16
"""Most quantities that are kept."""

Quantities = dict[str, list[float]]
"""Values of each quantity, one for each action token."""


class LearnerFile:
    """The quantities of some episodes of a file.

    Args:
        run: the run.
        file: file of the episodes.
        problems: collection for what is wrong with the file of the quantities.
    """

    def __init__(self, run: RunData, file: EpisodeFile, problems: Problems) -> None:
        self._places: dict[int, int] = {}
        self._table: pa.Table | None = None
        self._columns: list[str] = []
        path = learner_file(run.folder, file.kind, file.path.stem)
        try:
            if not path.is_file():
                return
            table = pq.read_table(path)
            table.validate(full=True)
            rows = table["row"].to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            problems.add(f"learner: {path.name} cannot be read: {str(error)[:200]}")
            return
        self._table = table
        self._places = {row: place for place, row in enumerate(rows) if isinstance(row, int)}
        self._columns = [f.name for f in table.schema if _numbers(f.type)][:MAX_QUANTITIES]

    @property
    def rows(self) -> set[int]:
        """The rows of the episodes that have quantities."""
        return set(self._places)

    def of(self, row: int) -> Quantities:
        """Return the quantities of an episode by name; empty if the run did not store any.

        Args:
            row: row of the episode in its file.
        """
        if row not in self._places or self._table is None:
            return {}
        found = {}
        for name in self._columns:
            values = self._table[name][self._places[row]].as_py()
            if values is not None:
                found[name[:40]] = [float("nan") if v is None else float(v) for v in values]
        return found


def _numbers(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def fitted(found: Quantities, episode: Trajectory) -> Quantities:
    """Return the quantities that belong to an episode's action tokens.

    A learner does not see a last action that was not applied, so its values may end before that;
    the missing ones are NaN. Quantities of any other length are left out.

    Args:
        found: quantities of the episode.
        episode: the episode.
    """
    every, seen = episode.action_tokens, episode.executed().action_tokens if episode.turns else 0
    return {
        name: [*values, *[float("nan")] * (every - len(values))]
        for name, values in found.items()
        if len(values) in (every, seen)
    }


def rounded(values: Any) -> list[float | None]:
    """Return numbers with four digits after the point, or four significant ones; None for NaN."""
    array = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):
        size = np.abs(array)
        unit = 10.0 ** np.clip(np.floor(np.log10(size)) - 3, -300, 300)
        short = np.where(size >= 0.1, np.round(array, 4), np.round(array / unit) * unit)
    short[size == 0] = 0.0
    found: list[float | None] = [float(f"{v:.8g}") for v in short.tolist()]
    for place in np.flatnonzero(~np.isfinite(array)):
        found[place] = None
    return found
