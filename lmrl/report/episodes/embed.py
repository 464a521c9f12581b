"""Episodes packed into the page: compressed columns, opened by the page piece by piece.

- `index`: figures of every episode, to filter by.
- `texts` and `said`: each distinct text once, and which of them an episode has, to search.
- `tokens`: each distinct text of a token once.
- pieces of `PIECE` episodes with everything else, opened when an episode is shown.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmrl.errors import DataError
from lmrl.report.environments import Environments
from lmrl.report.episodes.figures import EpisodeFile, Figures, batches, episode_files, figures
from lmrl.report.episodes.learner import LearnerFile
from lmrl.report.episodes.transcripts import TokenTexts, read_episode, transcript
from lmrl.report.overview.runs import RunData
from lmrl.report.reading import Problems, clean
from lmrl.runs.names import KINDS

PIECE = 50
"""Episodes of a piece."""
MEGABYTE = 1_000_000

Chosen = Sequence[tuple[EpisodeFile, Figures, NDArray[np.int64]]]
"""Files, their figures, and the places of the chosen episodes among these."""


class Numbers:
    """Numbers distinct texts in the order of their first use.

    Attributes:
        of: number of each text.
    """

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """Return the number of a text."""
        return self.of.setdefault(text, len(self.of))


@dataclass
class Columns:
    """Figures of episodes as columns for the page.

    Attributes:
        values: columns of numbers by name.
        files: names of files; the column `file` has places in it.
        players: names of policies; the column `player` has places in it.
    """

    values: dict[str, list[Any]] = field(default_factory=dict)
    files: Numbers = field(default_factory=Numbers)
    players: Numbers = field(default_factory=Numbers)

    def add(
        self, file: EpisodeFile, found: Figures, places: Sequence[int], learned: set[int]
    ) -> None:
        """Add episodes of a file.

        Args:
            file: the file.
            found: figures of its episodes.
            places: places of the episodes to add among these.
            learned: rows of the file's episodes with quantities of the learner.
        """
        for place in places:
            row = {
                "run": file.run,
                "kind": KINDS.index(file.kind),
                "file": self.files(clean(file.path.stem)),
                "update": file.update,
                "row": int(found.row[place]),
                "returned": float(f"{found.returned[place]:.6g}"),
                "length": int(found.length[place]),
                "version": int(found.version[place]),
                "outcome": int(found.outcome[place]),
                "terminated": int(found.terminated[place]),
                "learned": int(int(found.row[place]) in learned),
                "player": self.players(clean(found.player[place])),
            }
            for name, value in row.items():
                self.values.setdefault(name, []).append(value)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "columns": self.values,
            "kinds": list(KINDS),
            "files": list(self.files.of),
            "players": list(self.players.of),
        }


@dataclass(frozen=True)
class Packed:
    """Episodes as the page embeds them.

    Attributes:
        blocks: text of each block by its name.
        shown: number of episodes in the page.
        stored: number of episodes of the runs.
    """

    blocks: Mapping[str, str]
    shown: int
    stored: int

    @property
    def size(self) -> int:
        """Size of the blocks in bytes."""
        return sum(map(len, self.blocks.values()))


def pack(
    runs: Sequence[RunData],
    limit: int,
    megabytes: float,
    environments: Environments,
    problems: Problems,
) -> Packed:
    """Return episodes of runs, packed for the page.

    Episodes of evaluations come first, and those of training are taken evenly over the updates.
    If they need too much space, fewer are taken.

    Args:
        runs: the runs.
        limit: most episodes.
        megabytes: most megabytes of all blocks.
        environments: tasks, which draw their episodes.
        problems: collection for what cannot be read.
    """
    found = [
        (file, part)
        for index, run in enumerate(runs)
        for file in episode_files(run, index)
        if (part := figures(file, problems)) is not None
    ]
    stored = sum(len(part.row) for _, part in found)
    tokens = TokenTexts(runs)
    while True:
        chosen = _chosen(runs, found, limit, problems)
        packed = _packed(runs, chosen, stored, tokens, environments, problems)
        if packed.size <= megabytes * MEGABYTE or not packed.shown:
            return packed
        limit = min(int(packed.shown * 0.95 * megabytes * MEGABYTE / packed.size), packed.shown - 1)


def _chosen(
    runs: Sequence[RunData],
    found: Sequence[tuple[EpisodeFile, Figures]],
    limit: int,
    problems: Problems,
) -> Chosen:
    """Return the episodes to show: those with the learner's quantities, then evenly of the rest.

    Evaluation has up to half of the places, and training what is left.
    """
    places = {kind: [part for part in found if part[0].kind == kind] for kind in KINDS}
    sizes = {kind: sum(len(figs.row) for _, figs in part) for kind, part in places.items()}
    left = limit
    quota: dict[str, int] = {}
    for number, kind in enumerate(sorted(KINDS, key=lambda kind: sizes[kind])):
        quota[kind] = min(sizes[kind], left // (len(KINDS) - number))
        left -= quota[kind]
    chosen: list[tuple[EpisodeFile, Figures, NDArray[np.int64]]] = []
    for kind in reversed(KINDS):
        wanted = _spread(sizes[kind], quota[kind])
        first = 0
        for file, part in places[kind]:
            own = wanted[(wanted >= first) & (wanted < first + len(part.row))] - first
            if len(own) < len(part.row):
                own = _prefer_learned(runs[file.run], file, part, own, problems)
            first += len(part.row)
            chosen.append((file, part, own))
    return chosen


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Return `wanted` of the places below `count`, evenly."""
    places: NDArray[np.int64] = np.unique(np.floor(np.arange(wanted) * count / max(wanted, 1)))
    return places.astype(np.int64)


def _prefer_learned(
    run: RunData,
    file: EpisodeFile,
    part: Figures,
    own: NDArray[np.int64],
    problems: Problems,
) -> NDArray[np.int64]:
    """Return as many places, those with quantities of the learner first."""
    rows = LearnerFile(run, file, problems).rows
    learned = [place for place, row in enumerate(part.row.tolist()) if row in rows]
    others = [place for place in own.tolist() if place not in set(learned)]
    return np.sort(np.array([*learned, *others][: max(len(own), 0)], np.int64))


def _packed(
    runs: Sequence[RunData],
    chosen: Chosen,
    stored: int,
    tokens: TokenTexts,
    environments: Environments,
    problems: Problems,
) -> Packed:
    columns, texts, pieces_of = Columns(), Numbers(), Numbers()
    said: list[NDArray[np.uint32]] = []
    starts = [0]
    blocks: dict[str, str] = {}
    piece: list[dict[str, Any]] = []
    count = 0
    for file, part, places in chosen:
        if not len(places):
            continue
        learned = LearnerFile(runs[file.run], file, problems)
        for place, shown in _transcripts(
            file, part, places, learned, tokens, environments, problems
        ):
            columns.add(file, part, [place], learned.rows)
            own = np.array([texts(text) for text in shown.pop("texts")], np.uint32)
            said.append(own)
            starts.append(starts[-1] + len(own))
            shown["tokens"] = [pieces_of(text) for text in shown["tokens"]]
            piece.append(shown)
            count += 1
            if len(piece) == PIECE:
                blocks[f"piece-{len(blocks)}"] = compressed(piece)
                piece = []
    if piece:
        blocks[f"piece-{len(blocks)}"] = compressed(piece)
    blocks["index"] = compressed(columns.to_json())
    blocks["texts"] = compressed(list(texts.of))
    blocks["tokens"] = compressed(list(pieces_of.of))
    flat = np.concatenate(said) if said else np.empty(0, np.uint32)
    blocks["said"] = compressed_bytes(flat.astype("<u4").tobytes())
    blocks["starts"] = compressed_bytes(np.array(starts, "<u4").tobytes())
    return Packed(blocks, count, stored)


def _transcripts(
    file: EpisodeFile,
    part: Figures,
    places: NDArray[np.int64],
    learned: LearnerFile,
    tokens: TokenTexts,
    environments: Environments,
    problems: Problems,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the chosen episodes of a file, each with its place among the figures."""
    wanted = {int(part.row[place]): int(place) for place in places}
    first = 0
    try:
        for table in batches(file.path):
            for row in range(first, first + len(table)):
                if row not in wanted:
                    continue
                try:
                    episode = read_episode(table.slice(row - first, 1))
                except DataError as error:
                    problems.add(f"{file.kind}: {file.path.name}, episode {row + 1}: {error}")
                    continue
                shown = transcript(episode, tokens, environments, learned.of(row))
                yield wanted[row], shown
            first += len(table)
    except DataError as error:
        problems.add(f"{file.kind}: {error}")


def compressed(value: Any) -> str:
    """Return a JSON value for a block of the page: deflated and in base 64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return compressed_bytes(text.encode("utf-8"))


def compressed_bytes(content: bytes) -> str:
    """Return bytes for a block of the page: deflated and in base 64."""
    return base64.b64encode(zlib.compress(content, 6)).decode("ascii")
