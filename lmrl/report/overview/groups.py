"""Groups of runs that differ in their seeds only, and the fields in which runs differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmrl.report.overview.runs import RunData
from lmrl.scoring.compare import APART

MAX_NAMED = 3
"""Most fields that the name of a group mentions."""
MAX_FIELDS = 1000
"""Most fields of a configuration that are compared."""


@dataclass(frozen=True)
class Group:
    """Runs with the same configuration but for their seeds.

    Attributes:
        name: algorithm, and the fields that tell the group from others.
        runs: indices of its runs.
    """

    name: str
    runs: tuple[int, ...]


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a configuration by their dotted names."""
    found: dict[str, Any] = {}

    def add(value: Any, name: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                add(inner, f"{name}.{key}" if name else key)
        elif name and len(found) < MAX_FIELDS:
            found[name] = value

    add(config, "")
    return found


def grouped(runs: Sequence[RunData]) -> list[Group]:
    """Return the groups in the order of their first runs."""
    fields = [_own(run) for run in runs]
    members: dict[str, list[int]] = {}
    for index, own in enumerate(fields):
        # A run without a readable configuration is not known to be like any other.
        key = json.dumps(own, sort_keys=True) if own else f"run {index}"
        members.setdefault(key, []).append(index)
    firsts = [indices[0] for indices in members.values()]
    return [
        Group(_name(runs, fields, indices[0], firsts), tuple(indices))
        for indices in members.values()
    ]


def _own(run: RunData) -> dict[str, Any]:
    return {
        name: value
        for name, value in flat(run.config).items()
        if not any(name == apart or name.startswith(f"{apart}.") for apart in APART)
    }


def _name(
    runs: Sequence[RunData], fields: Sequence[dict[str, Any]], index: int, firsts: Sequence[int]
) -> str:
    """Return the algorithm of a group, and the fields in which it differs from its like."""
    run = runs[index]
    tasks = {runs[i].task for i in firsts}
    alike = [i for i in firsts if (runs[i].task, runs[i].algorithm) == (run.task, run.algorithm)]
    differing = [
        name
        for name, value in fields[index].items()
        if all(name in fields[i] for i in alike) and any(fields[i][name] != value for i in alike)
    ]
    shown = [f"{name} {_short(fields[index][name])}" for name in differing[:MAX_NAMED]]
    if len(differing) > MAX_NAMED:
        shown.append(f"and {len(differing) - MAX_NAMED} more")
    if not fields[index] or (len(alike) > 1 and not differing):
        shown.append(run.name)
    return ", ".join([*([run.task] if len(tasks) > 1 else []), run.algorithm, *shown])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def configurations(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Return every field with its value in each run, and whether runs differ in it.

    A field that a run does not have is None there.
    """
    columns = [flat(run.config) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = []
    for name in names:
        values = [None if name not in column else _short_json(column[name]) for column in columns]
        rows.append({"name": name, "values": values, "differs": len(set(values)) > 1})
    return rows


def _short_json(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"
