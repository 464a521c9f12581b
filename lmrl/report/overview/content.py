"""The overview of runs as one JSON value: everything that the page shows but the episodes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import lmrl
from lmrl.report.environments import Environments
from lmrl.report.overview.charts import TIME, charts, other_charts
from lmrl.report.overview.groups import Group, configurations, grouped
from lmrl.report.overview.runs import RunData
from lmrl.report.overview.scores import score_blocks
from lmrl.report.reading import clean, number, text

LEDGER = ("trained", "evaluated", "stale", "failed")
"""The ends of an episode; with those that have not ended they add up to `started`."""


def overview(runs: Sequence[RunData], environments: Environments) -> dict[str, Any]:
    """Return the overview of runs, plain JSON values that a browser can hold.

    Args:
        runs: the runs.
        environments: tasks, for the range of their scores.
    """
    groups = grouped(runs)
    found: dict[str, Any] = clean_numbers(
        {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": lmrl.__version__,
            "runs": [_run(run, index, groups) for index, run in enumerate(runs)],
            "groups": [{"name": clean(g.name), "runs": list(g.runs)} for g in groups],
            "scores": score_blocks(runs, groups, environments),
            "charts": [*charts(runs, groups), *_ledgers(runs, groups)],
            "others": other_charts(runs, groups),
            "times": [_times(run) for run in runs],
            "ledgers": [run.ledger() for run in runs],
            "fields": [row for row in configurations(runs) if not _provenance(row["name"])],
            "versions": [row for row in configurations(runs) if _provenance(row["name"])],
            "failures": [_failure(row, i) for i, run in enumerate(runs) for row in run.failures],
            "problems": [f"{run.name}: {text}" for run in runs for text in run.problems],
        }
    )
    return found


def listing(runs: Sequence[RunData]) -> dict[str, Any]:
    """Return the state of runs alone, plain JSON values that a browser can hold."""
    groups = grouped(runs)
    found: dict[str, Any] = clean_numbers(
        {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": lmrl.__version__,
            "runs": [_run(run, index, groups) for index, run in enumerate(runs)],
            "problems": [f"{run.name}: {text}" for run in runs for text in run.problems],
        }
    )
    return found


def clean_numbers(value: Any) -> Any:
    """Return a value of ours without numbers that are not finite, and without broken text."""
    if isinstance(value, dict):
        return {clean(key): clean_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean_numbers(inner) for inner in value]
    return clean(value)


def _provenance(name: str) -> bool:
    return name == "provenance" or name.startswith("provenance.")


def _run(run: RunData, index: int, groups: Sequence[Group]) -> dict[str, Any]:
    parity = run.summary.get("parity")
    updates = run.metrics[TIME][0] if TIME in run.metrics else None
    last = float(updates.max()) if updates is not None and len(updates) else 0.0
    return {
        "key": run.key,
        "name": run.name,
        "task": run.task,
        "algorithm": run.algorithm,
        "seed": run.seed,
        "group": next(n for n, group in enumerate(groups) if index in group.runs),
        "phase": run.phase,
        "error": text(run.status.get("error")),
        "update": number(run.status.get("update")) or last,
        "updates": number(run.config.get("updates")),
        "seconds_left": number(run.status.get("seconds_left")),
        "seconds": _times(run)["total"],
        "parity": number(parity.get("max_abs")) if isinstance(parity, dict) else None,
        "tolerance": _tolerance(run),
        "finals": {
            label: {"mean": row.mean, "normalised": row.normalised, "success": row.success}
            for label, row in list(run.finals.items())[:50]
        },
    }


def _tolerance(run: RunData) -> float | None:
    push = run.config.get("push")
    return number(push.get("tolerance")) if isinstance(push, dict) else None


def _times(run: RunData) -> dict[str, Any]:
    """Return the seconds of each phase of a run, and the rest of its total."""
    seconds = run.summary.get("seconds")
    found = seconds if isinstance(seconds, dict) else {}
    parts = [
        {"name": name, "seconds": value}
        for name, inner in list(found.items())[:40]
        if name != "total" and (value := number(inner)) is not None and value > 0
    ]
    total = number(found.get("total"))
    if total is not None:
        rest = total - sum(part["seconds"] for part in parts)
        if rest > 0.005 * total:
            parts.append({"name": "other", "seconds": rest})
    return {"parts": parts, "total": total}


def _ledgers(runs: Sequence[RunData], groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the chart of the ledger over the updates, for each run that recorded it."""
    found = []
    for index, run in enumerate(runs):
        lines = []
        for name in LEDGER:
            if f"ledger/{name}" not in run.metrics:
                continue
            x, y = run.metrics[f"ledger/{name}"]
            step = -(-len(x) // 300)
            lines.append({"name": name, "x": x[::step].tolist(), "y": y[::step].tolist()})
        if lines:
            group = next(n for n, group in enumerate(groups) if index in group.runs)
            found.append(
                {
                    "id": f"ledger-{index}",
                    "title": "Episodes by their end" + (f", {run.name}" if len(runs) > 1 else ""),
                    "unit": "episodes",
                    "text": "Every started episode is trained on, evaluated, dropped as stale, or "
                    "failed.",
                    "section": "health",
                    "log": False,
                    "lines": [{"group": group, "run": index, **line} for line in lines],
                    "points": [],
                }
            )
    return found


def _failure(row: dict[str, Any], run: int) -> dict[str, Any]:
    return {
        "run": run,
        "seed": str(row.get("seed", "")),
        "error": text(row.get("error"), "unknown error")[:2000],
        "trace": text(row.get("trace"))[:8000],
    }
