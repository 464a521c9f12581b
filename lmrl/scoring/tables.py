"""What the command line prints for a reader: records in, text out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmrl.scoring.score import Score


def tasks_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tasks as a table."""
    lines = [f"{'task':<20} {'turns':>6}  {'worst':>8} {'data':>8} {'best':>8}  players"]
    for row in rows:
        worst, mean, best = row["score_range"]
        lines.append(
            f"{row['task']:<20} {row['max_turns']:>6}  {worst:>8g} {mean:>8g} {best:>8g}  "
            f"{', '.join(row['players'])}"
        )
    return "\n".join(lines)


def data_set(facts: Mapping[str, Any]) -> str:
    """Return what `lmrl.data.describe.describe` found in a data set."""
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
    counts, edges = facts["histogram"]["counts"], facts["histogram"]["edges"]
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        bar = "#" * round(40 * count / max(counts))
        lines.append(f"  {low:>8.4g} .. {high:<8.4g} {count:>7}  {bar}")
    lines += _published(facts["published"])
    return "\n".join([*lines, "\nthe shortest episode:", facts["transcript"]])


def _published(found: Mapping[str, Any]) -> list[str]:
    """Return the statistics of the published data sets, `-` where there are none."""
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
    """Return the scores of a finished run as a table."""
    lines = [
        f"{'policy':<10} {'return':>9} {'95 % interval':>20} {'normalised':>11} {'episodes':>9}"
    ]
    for name, row in summary["scores"].items():
        lines.append(
            f"{name:<10} {row['return_mean']:>9.2f} {interval(row['ci95']):>20} "
            f"{row['normalised']:>11.1f} {row['episodes']:>9}"
        )
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


def interval(ci95: Sequence[float] | None, digits: int = 2) -> str:
    """Return an interval; of a single value there is none."""
    if ci95 is None:
        return "[one value]"
    low, high = ci95
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def score_line(task: str, score: Score) -> str:
    """Return a score in one line."""
    return (
        f"{task}: return {score.return_mean:.2f} {interval(score.ci95)}, normalised "
        f"{score.normalised:.1f}, {score.length_mean:.1f} turns, {score.episodes} episodes"
    )


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
    lines = [
        f"{task}, {best.score.episodes} episodes on the same seeds",
        f"{'temperature':>11} {'beta':>7} {'return':>9} {'95 % interval':>20} {'normalised':>11} "
        f"{'turns':>7}",
    ]
    for row in rows:
        beta = "-" if row.beta is None else f"{row.beta:g}"
        score = row.score
        lines.append(
            f"{row.temperature:>11g} {beta:>7} {score.return_mean:>9.2f} "
            f"{interval(score.ci95):>20} {score.normalised:>11.1f} {score.length_mean:>7.1f}"
            f"{'  *' if row is best else ''}"
        )
    return "\n".join(lines)


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
