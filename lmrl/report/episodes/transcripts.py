"""An episode as the page shows it: its texts, its tokens with their figures, and its drawing."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lmrl.drawing import Drawing
from lmrl.errors import DataError
from lmrl.report.environments import Environments
from lmrl.report.episodes.learner import Quantities, fitted, rounded
from lmrl.report.overview.runs import RunData
from lmrl.report.reading import clean
from lmrl.runs.names import CHECKPOINTS, GUIDED, START
from lmrl.schema import from_table
from lmrl.tokens.codec import fingerprint_of
from lmrl.trajectory import Trajectory

MAX_TURNS = 2_000
"""Most turns of an episode that are shown."""
MAX_TOKENS = 50_000
"""Most action tokens of an episode that are shown."""
MAX_TOKEN_TEXT = 200
"""Longest text of a token that is shown, in characters."""
SAMPLER = "sampler_log_prob"
"""Name of the sampler's log-probability among the quantities."""


class TokenTexts:
    """Texts of token ids, by the fingerprint of the tokenizer that an episode names.

    Args:
        runs: runs in whose checkpoints tokenizers are looked for.
    """

    def __init__(self, runs: Iterable[RunData]) -> None:
        self._runs = list(runs)
        self._decoders: dict[str, Callable[[int], str]] | None = None

    def text(self, fingerprint: str, token: int) -> str | None:
        """Return the text of a token; None if its tokenizer is not found.

        Args:
            fingerprint: fingerprint of the tokenizer.
            token: id of the token.
        """
        if self._decoders is None:
            self._decoders = dict(self._found())
        decode = self._decoders.get(fingerprint)
        return None if decode is None else decode(token)

    def _found(self) -> Iterable[tuple[str, Callable[[int], str]]]:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            return
        for path in (path for run in self._runs for path in _tokenizer_files(run.folder)):
            try:
                backend = Tokenizer.from_file(str(path))
            except Exception:  # the library raises bare exceptions
                continue
            yield fingerprint_of(backend), _decoder(backend)


def _tokenizer_files(folder: Path) -> list[Path]:
    patterns = (f"{CHECKPOINTS}/*", START, f"{START}/{CHECKPOINTS}/*", GUIDED)
    try:
        return [p for pattern in patterns for p in sorted(folder.glob(f"{pattern}/tokenizer.json"))]
    except OSError:
        return []


def _decoder(backend: Any) -> Callable[[int], str]:
    @lru_cache(maxsize=1 << 17)
    def decode(token: int) -> str:
        try:
            text: str = backend.decode([token], skip_special_tokens=False)
        except (OverflowError, ValueError):
            return ""
        return clean(text[:MAX_TOKEN_TEXT]) or ""

    return decode


def read_episode(table: pa.Table) -> Trajectory:
    """Return the episode of a table with one row.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        (episode,) = from_table(table)
    except DataError:
        raise
    except (pa.ArrowException, ValueError, RecursionError, TypeError) as error:
        raise DataError(f"an episode cannot be read: {str(error)[:200]}") from error
    return episode


def transcript(
    episode: Trajectory, tokens: TokenTexts, environments: Environments, learned: Quantities
) -> dict[str, Any]:
    """Return an episode for the page, plain JSON values.

    Args:
        episode: the episode.
        tokens: texts of tokens.
        environments: tasks, which draw their episodes.
        learned: quantities of the learner.

    Returns:
        `texts` (observation, action, ..., the final observation), `rewards`, `counts` (action
        tokens of each turn), `tokens` (their texts), `versions` (one number, or one for each
        token), `quantities` (lists with one number for each token), `drawing`, and the facts of
        the episode.
    """
    turns = episode.turns[:MAX_TURNS]
    while turns and sum(len(turn.action_ids) for turn in turns) > MAX_TOKENS:
        turns = turns[: len(turns) // 2]
    texts = [text for turn in turns for text in (turn.observation, turn.action)]
    ids = [int(i) for turn in turns for i in turn.action_ids]
    shown = [tokens.text(episode.tokenizer, i) for i in ids]
    return {
        "texts": [clean(text) for text in (*texts, episode.final)],
        "rewards": rounded([turn.reward for turn in turns]),
        "counts": [len(turn.action_ids) for turn in turns],
        "tokens": [f"[{i}]" if text is None else text for i, text in zip(ids, shown, strict=True)],
        "versions": _versions(turns),
        "spans": [int(turn.span) for turn in turns],
        "quantities": _quantities(episode, turns, len(ids), learned),
        "drawing": _drawing(environments.draw(episode), len(turns)),
        "more": len(episode.turns) - len(turns),
        "task": clean(episode.task),
        "seed": str(episode.seed),
        "options": clean(episode.options),
        "info": clean(episode.info),
        "ending": episode.ending,
        "player": clean(episode.player),
    }


def _versions(turns: Iterable[Any]) -> int | list[int]:
    found = [int(v) for turn in turns for v in turn.versions]
    return found[0] if found and len(set(found)) == 1 else found


def _quantities(
    episode: Trajectory, turns: tuple[Any, ...], count: int, learned: Quantities
) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    if any((turn.versions >= 0).any() for turn in turns):
        sampled = np.concatenate([turn.logprobs for turn in turns])
        if len(sampled) == count:
            found[SAMPLER] = rounded(sampled)
    for name, values in fitted(learned, episode).items():
        found[clean(name)] = rounded(values[:count])
    return found


def _drawing(found: Drawing | None, turns: int) -> dict[str, Any] | None:
    if found is None:
        return None
    drawing: dict[str, Any] = clean_drawing(found.to_json())
    drawing["frames"] = drawing["frames"][: turns + 1]
    return drawing


def clean_drawing(drawing: dict[str, Any]) -> dict[str, Any]:
    """Return a drawing without texts that a browser cannot hold; its cells keep their places."""
    for frame in drawing["frames"]:
        frame[0] = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in frame[0])
        frame[4] = clean(frame[4])
    return drawing
