"""The last screen of a run: its curve, its scores, three episodes, and what to do next."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmrl.data.store import load
from lmrl.errors import DataError
from lmrl.runs.names import METRICS, episodes_file, evaluated
from lmrl.scoring.published import COLUMNS, NORMALISED_SOURCE, PUBLISHED_SCORES
from lmrl.scoring.tables import summary_table
from lmrl.screen.figures import sparkline
from lmrl.trajectory import Trajectory, transcript

LINES = 6
"""Largest number of lines of an episode."""


def closing(
    folder: Path, summary: Mapping[str, Any], width: int = 100, ascii_only: bool = False
) -> str:
    """Return the last screen of a run as text.

    Args:
        folder: run directory.
        summary: content of its `summary.json`.
        width: largest number of characters of an episode's line.
        ascii_only: whether only ASCII characters can be shown.
    """
    parts = [summary_table(summary, folder), *_differences(summary), *_curve(folder, ascii_only)]
    parts += _episodes(folder, summary, width)
    run = shlex.quote(str(folder))
    parts.append(
        "next:\n"
        f"  lmrl report {run}\n"
        f"  lmrl transcripts {run} --worst 3\n"
        f"  lmrl evaluate checkpoint {run}/checkpoints/last --temperature 0"
    )
    return "\n\n".join(parts)


def _differences(summary: Mapping[str, Any]) -> list[str]:
    """Return sentences about the last score: above the earlier ones, and beside the paper's."""
    scores: Mapping[str, Any] = summary["scores"]
    last = list(scores)[-1] if scores else ""
    lines = []
    for name, row in scores.items():
        if name != last:
            change = scores[last]["return_mean"] - row["return_mean"]
            lines.append(f"{last} - {name}: {change:+.2f}")
    algorithm = summary["algorithm"]
    paper = PUBLISHED_SCORES.get(summary["task"], {}).get(algorithm)
    if paper is not None and last:
        lines.append(
            f"normalised score: {scores[last]['normalised']:.1f}; the paper's {COLUMNS[algorithm]} "
            f"with GPT-2: {paper.normalised:g} ({NORMALISED_SOURCE})"
        )
    return ["\n".join(lines)] if lines else []


def _curve(folder: Path, ascii_only: bool) -> list[str]:
    """Return the mean return of each update as a line; nothing for offline runs."""
    path = folder / METRICS
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = [row.get("rollout/return_mean") for row in rows]
    returns = [value for value in found if value is not None]
    if len(returns) < 2:
        return []
    line = sparkline(returns, 40, ascii_only)
    return [f"return per update: {returns[0]:.1f} {line} {returns[-1]:.1f}"]


def _episodes(folder: Path, summary: Mapping[str, Any], width: int) -> list[str]:
    """Return the best, the median and the worst episode of the last score."""
    label = list(summary["scores"])[-1] if summary["scores"] else ""
    path = episodes_file(folder, "evaluation", evaluated(label, summary["updates"]))
    try:
        episodes = list(load(path))
    except DataError:
        return []
    return [
        f"{name} of {len(episodes)} episodes:\n  {_short(episode, width)}"
        for name, episode in extremes(episodes)
    ]


def extremes(episodes: Sequence[Trajectory]) -> list[tuple[str, Trajectory]]:
    """Return the best, the median and the worst of some episodes, each with its name.

    Args:
        episodes: at least one episode.
    """
    ranked = sorted(episodes, key=lambda episode: -episode.total_reward)
    places = (("best", 0), ("median", len(ranked) // 2), ("worst", len(ranked) - 1))
    return [(name, ranked[place]) for name, place in places]


def _short(episode: Trajectory, width: int) -> str:
    """Return the transcript of an episode without its middle."""
    lines = transcript(episode).splitlines()
    if len(lines) > LINES:
        left_out = len(lines) - LINES + 1
        lines = [*lines[: LINES - 3], f"... {left_out} more lines ...", *lines[-2:]]
    return "\n  ".join(
        line if len(line) <= width - 2 else line[: width - 5] + "..." for line in lines
    )
