"""`Episodes`: a data set in memory, for analysis, with conversions to other libraries."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmrl.data.store import files
from lmrl.errors import UsageError
from lmrl.schema import from_table, table_returns
from lmrl.trajectory import Trajectory


class Episodes(Sequence[Trajectory]):
    """Episodes of a data set or of a run, as a sequence of `Trajectory`.

    Args:
        table: episodes in Arrow form, as `docs/trajectories.md` describes it.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def read(cls, source: Path | str) -> "Episodes":
        """Return the episodes of a folder of Parquet files, or of one file.

        Raises:
            DataError: if a file is missing, cut off or not ours.
        """
        return cls(pa.concat_tables([pq.read_table(path) for path in files(source)]))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...

    @overload
    def __getitem__(self, index: slice) -> "Episodes": ...

    def __getitem__(self, index: int | slice) -> "Trajectory | Episodes":
        rows = range(len(self))[index]
        if isinstance(rows, range):
            return Episodes(self.table.take(pa.array(rows, pa.int64())))
        return from_table(self.table.slice(rows, 1))[0]

    def __iter__(self) -> Iterator[Trajectory]:
        for batch in self.table.to_batches(max_chunksize=256):
            yield from from_table(pa.Table.from_batches([batch]))

    def __repr__(self) -> str:
        if not len(self):
            return "Episodes(0)"
        tasks = ", ".join(sorted(set(self.table["task"].to_pylist())))
        return f"Episodes({len(self)} of {tasks}, mean return {self.returns.mean():.4g})"

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of each episode `[episodes]`, in reward units."""
        return table_returns(self.table)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of turns of each episode `[episodes]`."""
        return np.diff(self.table["turns"].combine_chunks().offsets.to_numpy()).astype(np.int64)

    def summary(self) -> pa.Table:
        """Return one row for each episode.

        The columns are `episode` (its row), `task`, `seed`, `player`, `ending`, `return`, `turns`,
        and every key of the episodes' info that has plain values, with its own name.
        """
        plain = self.table.select(["task", "seed", "player", "ending"])
        plain = plain.add_column(0, "episode", pa.array(range(len(self)), pa.int64()))
        plain = plain.append_column("return", pa.array(self.returns))
        plain = plain.append_column("turns", pa.array(self.lengths))
        infos = [json.loads(text) for text in self.table["info"].to_pylist()]
        for key in dict.fromkeys(key for info in infos for key in info):
            values = [info.get(key) for info in infos]
            if key not in plain.column_names and _one_type(values):
                plain = plain.append_column(key, pa.array(values))
        return plain

    def turns(self) -> pa.Table:
        """Return one row for each turn.

        The columns are `episode` (row of its episode), `turn` (from 0), `observation`, `action`
        and `reward`.
        """
        turns = self.table["turns"].combine_chunks()
        values = turns.flatten()
        episode = np.repeat(np.arange(len(self)), self.lengths)
        first = np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        names = ("observation", "action", "reward")
        return pa.table(
            {
                "episode": pa.array(episode),
                "turn": pa.array(np.arange(len(episode)) - first),
                **{name: values.field(name) for name in names},
            }
        )

    def to_arrow(self) -> pa.Table:
        """Return the episodes in Arrow form."""
        return self.table

    def to_pandas(self, rows: str = "episodes") -> Any:
        """Return a pandas `DataFrame`.

        Args:
            rows: `episodes` for the rows of `summary`, `turns` for those of `turns`.

        Raises:
            UsageError: if pandas is not installed, or `rows` is something else.
        """
        if rows not in ("episodes", "turns"):
            raise UsageError(f"rows is {rows!r}; give 'episodes' or 'turns'")
        try:
            import pandas  # noqa: F401  # pyarrow needs it
        except ImportError as error:
            raise UsageError("pandas is not installed: pip install pandas") from error
        return (self.summary() if rows == "episodes" else self.turns()).to_pandas()

    def to_datasets(self) -> Any:
        """Return a `Dataset` of the library `datasets`, with the columns of the Arrow form.

        Raises:
            UsageError: if that library is not installed.
        """
        try:
            from datasets import Dataset
        except ImportError as error:
            raise UsageError("datasets is not installed: pip install datasets") from error
        return Dataset(self.table)


def _one_type(values: Sequence[Any]) -> bool:
    """Return whether values are plain and of one type, so that they make a column."""
    kinds = {type(value) for value in values if value is not None}
    return len(kinds) == 1 and kinds <= {bool, int, float, str}
