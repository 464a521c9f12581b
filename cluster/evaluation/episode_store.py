"""Episodes of an evaluation on disk, so that one that stopped goes on where it was.

OUT/evaluation.json            settings of the evaluation
OUT/NAME.parquet               episodes of one entry: a variant, or a setting of a sweep
OUT/.parts/NAME-00000.parquet  the first episodes of an entry that is not complete
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lmrl.data.store import files, write_table
from lmrl.data.unfinished import check_same
from lmrl.errors import UsageError
from lmrl.files import writable, write_json

SETTINGS, PARTS = "evaluation.json", ".parts"
PART = 100
"""Number of episodes that are stored together while an entry is played."""


@dataclass(frozen=True)
class EpisodeStore:
    """The folder of an evaluation.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any], resume: bool) -> "EpisodeStore":
        """Return the store of a new evaluation, or of one to go on with.

        Args:
            folder: folder of the evaluation.
            settings: settings of the evaluation as JSON values.
            resume: whether to go on with the evaluation that the folder holds.

        Raises:
            UsageError: if the folder cannot be written, or holds anything else.
        """
        path = folder / SETTINGS
        if resume:
            check_same(path, settings, f"{folder} has no evaluation to go on with")
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            remedy = "go on with --resume, or choose" if path.exists() else "choose"
            raise UsageError(f"{folder} is not empty; {remedy} another folder with --out")
        writable(folder, "the folder")
        write_json(path, dict(settings))
        return cls(folder)

    def played(self, name: str, seeds: range, play: Callable[[range], pa.Table]) -> pa.Table:
        """Return the episodes of an entry; play those that are not stored.

        Args:
            name: name of the entry.
            seeds: seeds of the episodes.
            play: function that plays some of the seeds.
        """
        whole = self.folder / f"{name}.parquet"
        if whole.exists():
            return _read(whole)
        tables = []
        for number, part in enumerate(_parts(seeds)):
            path = self.folder / PARTS / f"{name}-{number:05d}.parquet"
            if not path.exists():
                write_table(play(part), path)
            tables.append(_read(path))
        table = pa.concat_tables(tables)
        self.finish(name, table)
        return table

    def finish(self, name: str, table: pa.Table) -> None:
        """Store all episodes of an entry, and delete its parts.

        Args:
            name: name of the entry.
            table: its episodes.
        """
        write_table(table, self.folder / f"{name}.parquet")
        for path in (self.folder / PARTS).glob(f"{name}-?????.parquet"):
            path.unlink()
        if (self.folder / PARTS).is_dir() and not any((self.folder / PARTS).iterdir()):
            shutil.rmtree(self.folder / PARTS)


def _read(path: Path) -> pa.Table:
    files(path)
    return pq.read_table(path)


def _parts(seeds: range) -> Iterator[range]:
    for start in range(0, len(seeds), PART):
        yield seeds[start : start + PART]
