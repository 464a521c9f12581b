"""What the commands print: records in, text out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmrl.scoring.score import Score
from lmrl.scoring.text import interval, text_table


def tasks_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tasks as a table.

    Args:
        rows: records of `lmrl tasks --json`.
    """
    columns = ("task", "turns", "worst", "data", "best", "players")
    cells = [
        (
            row["task"],
            str(row["max_turns"]),
            *(f"{score:g}" for score in row["score_range"]),
            ", ".join(row["players"]),
        )
        for row in rows
    ]
    return text_table(columns, cells, left=(0, 5))


def data_set(facts: Mapping[str, Any]) -> str:
    """Return the facts about a data set as text.

    Args:
        facts: result of `lmrl.data.describe.describe`.
    """
    lines = [f"{facts['episodes']} episodes, {facts['turns']} turns"]
    for name in ("tasks", "players", "endings"):
        counts = ", ".join(f"{k or '-'} {v}" for k, v in sorted(facts[name].items()))
        lines.append(f"{name:<8} {counts}")
    for name in ("return", "length"):
        row = facts[name]
        lines.append(
            f"{name:<8} mean {row['mean']:.3g}  std {row['std']:.3g}  min {row['min']:g}  "
            f"max {row['max']:g}"
        )
    for task, share in facts["success"].items():
        lines.append(f"success  {task} {share:.3f}")
    actions = facts["actions"]
    lines.append(
        f"actions  {100 * actions['distinct']:.1f} % distinct, {100 * actions['questions']:.1f} % "
        f"questions, of which {100 * actions['open_questions']:.1f} % are open"
    )
    counts, edges = facts["histogram"]["counts"], facts["histogram"]["edges"]
    bars = [
        (f"  {low:.4g}", "..", f"{high:.4g}", str(count), "#" * round(40 * count / max(counts)))
        for count, low, high in zip(counts, edges, edges[1:], strict=False)
    ]
    lines.append(text_table([""] * 5, bars, left=(2, 4), header=False))
    lines += _published(facts["published"])
    return "\n".join([*lines, "\nthe shortest episode:", facts["transcript"]])


def _published(found: Mapping[str, Any]) -> list[str]:
    """Return the statistics of the published data sets by task, `-` for a task without them."""
    lines = ["\npublished:"]
    for task, row in found.items():
        if row is None:
            lines.append(f"  {task}: -")
            continue
        lines.append(
            f"  {task}: {row['episodes']} episodes, return mean {row['return_mean']:g}  "
            f"std {row['return_std']:g}, length mean {row['length_mean']:g}  "
            f"std {row['length_std']:g}, success {row['success']:g} ({row['source']})"
        )
    return lines


def summary_table(summary: Mapping[str, Any], folder: Path) -> str:
    """Return the scores of a finished run as a table, with its episodes, parity and seconds.

    Args:
        summary: content of the run's `summary.json`.
        folder: run directory.
    """
    columns = ("policy", "return", "95 % interval", "normalised", "episodes")
    cells = [
        (
            name,
            f"{row['return_mean']:.2f}",
            interval(row["ci95"]),
            f"{row['normalised']:.1f}",
            str(row["episodes"]),
        )
        for name, row in summary["scores"].items()
    ]
    lines = [text_table(columns, cells)]
    ledger, parity = summary["ledger"], summary["parity"]
    lines.append(
        f"\nepisodes: {ledger['started']} started = {ledger['trained']} trained + "
        f"{ledger['evaluated']} evaluated + {ledger['stale']} stale + {ledger['failed']} failed"
    )
    lines.append(
        f"parity: {parity['max_abs']:.1e} nats at most, over {parity['pushes']} pushes; "
        f"{summary['seconds']['total']:.0f} s; everything is in {folder}"
    )
    return "\n".join(lines)


def score_lines(task: str, score: Score) -> list[str]:
    """Return a score as text, and those of its tasks if it has several."""
    line = (
        f"{task}: return {score.return_mean:.2f} {interval(score.ci95)}, normalised "
        f"{score.normalised:.1f}, {score.length_mean:.1f} turns, {score.episodes} episodes"
    )
    if score.cut_actions or score.malformed_actions:
        line += (
            f"\n  {score.cut_actions:.0%} of the actions were cut by the token limit, "
            f"{score.malformed_actions:.0%} of the replies had no action"
        )
    parts = (score_lines(name, part) for name, part in score.tasks.items())
    return [line, *(f"  {text}" for lines in parts for text in lines)]


@dataclass(frozen=True)
class SweepRow:
    """The score of one setting of a sweep; `beta` is None for a policy that has none."""

    temperature: float
    beta: float | None
    score: Score

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"temperature": self.temperature, "beta": self.beta, **self.score.to_json()}


def best_row(rows: Sequence[SweepRow]) -> SweepRow:
    """Return the row with the highest mean return; the first of equal ones.

    A return that is not finite is never the best of several.
    """

    def worth(row: SweepRow) -> float:
        mean = row.score.return_mean
        return mean if math.isfinite(mean) else -math.inf

    return max(rows, key=worth)


def sweep_table(task: str, rows: Sequence[SweepRow]) -> str:
    """Return a sweep as a table in which `*` marks the best setting."""
    best = best_row(rows)
    columns = ("temperature", "beta", "return", "95 % interval", "normalised", "turns", "")
    cells = [
        (
            f"{row.temperature:g}",
            "-" if row.beta is None else f"{row.beta:g}",
            f"{row.score.return_mean:.2f}",
            interval(row.score.ci95),
            f"{row.score.normalised:.1f}",
            f"{row.score.length_mean:.1f}",
            "*" if row is best else "",
        )
        for row in rows
    ]
    first = f"{task}, {best.score.episodes} episodes on the same seeds"
    return f"{first}\n{text_table(columns, cells, left=0)}"


def asked_lines(asked: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what was asked of models, a line each.

    See `cluster.evaluation.suite.ChatUsageReport.to_json`.
    """
    return [
        f"{what} {row['name']}: {row['replies']} replies, {row['cached']} of them from the cache, "
        f"{row['retries']} asked again, {row['malformed']} malformed"
        + (
            f"; {row['empty']} had no text: a model that thinks may need more tokens a reply"
            if row.get("empty")
            else ""
        )
        for what, row in asked.items()
    ]
