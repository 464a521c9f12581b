"""The tab with scores, state, times, failures, and what could not be read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from lmrl.view.curves import state_line
from lmrl.view.text import column, figure

_BAR = 12
"""Cells of a bar."""
MAX_FAILURES = 20
"""Failures that are shown."""


def state_text(overview: Mapping[str, Any], problems: Sequence[str]) -> Text:
    """Return the tab for an overview of runs.

    Args:
        overview: the overview, as `lmrl.report.overview` returns it.
        problems: sentences about what could not be read, those of the episodes included.
    """
    found = Text()
    for title, rows in _parts(overview, problems):
        shown = list(rows)
        if shown:
            found.append(f"{title}\n", "bold underline")
            found.append("".join(f"  {row}\n" for row in shown) + "\n")
    return found


def _parts(
    overview: Mapping[str, Any], problems: Sequence[str]
) -> Iterator[tuple[str, Iterator[str]]]:
    yield "State", (_line(state_line(run)) for run in overview["runs"])
    yield "Errors", (_line(run["error"], 400) for run in overview["runs"] if run["error"])
    for block in overview["scores"]:
        yield f"Scores: {_line(block['title'])}", _scores(block)
    yield "Episodes by their end", _ledgers(overview)
    yield "Parity of samplers and learner", _parities(overview)
    yield "Where the time went", _times(overview)
    failures = overview["failures"]
    title = f"Failed episodes: {len(failures)}, the first {min(len(failures), MAX_FAILURES)}"
    yield title, (_line(f"seed {row['seed']}: {row['error']}") for row in failures[:MAX_FAILURES])
    yield "Not read", (_line(problem, 400) for problem in problems)


def _line(text: str, limit: int = 200) -> str:
    return column(text[:limit], limit).rstrip()


def _scores(block: Mapping[str, Any]) -> Iterator[str]:
    bounds = [value for value in block["range"] or [] if value is not None]
    rows = [(row, "") for row in block["rows"]] + [(row, "paper: ") for row in block["published"]]
    values = [row["mean"] for row, _ in rows if row["mean"] is not None]
    low, high = min([*bounds, *values], default=0.0), max([*bounds, *values], default=0.0)
    yield f"{'policy':<18} {'return':>9} {'95 % interval':>19} {'normalised':>10}"
    for row, source in rows:
        ends = [figure(row.get("low")), figure(row.get("high"))]
        interval = " … ".join(ends) if all(ends) else ""
        share = 0.0 if row["mean"] is None else _share(row["mean"], low, high)
        yield (
            f"{column(source + row['label'], 18)} {figure(row['mean']):>9} {interval:>19} "
            f"{figure(row['normalised']):>10}  {'█' * round(share * _BAR)}"
        ).rstrip()
    if len(bounds) == 3:
        words = zip(("worst", "data set", "best"), block["range"], strict=True)
        yield "; ".join(f"{name} {figure(value)}" for name, value in words)
    if block["note"]:
        yield _line(block["note"])


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two others; halves, since a difference may overflow."""
    unit = high / 2 - low / 2
    return (value / 2 - low / 2) / unit if unit else 1.0


def _ledgers(overview: Mapping[str, Any]) -> Iterator[str]:
    for run, ledger in zip(overview["runs"], overview["ledgers"], strict=True):
        if ledger:
            words = ", ".join(f"{figure(count)} {name}" for name, count in ledger.items())
            yield _line(f"{run['name']}: {words}")


def _parities(overview: Mapping[str, Any]) -> Iterator[str]:
    for run in overview["runs"]:
        if run["parity"] is not None:
            limit = f"; the gate's tolerance is {figure(run['tolerance'])}"
            words = f"{run['name']}: at most {figure(run['parity'])} nats apart"
            yield _line(words + (limit if run["tolerance"] is not None else ""))


def _times(overview: Mapping[str, Any]) -> Iterator[str]:
    for run, times in zip(overview["runs"], overview["times"], strict=True):
        words = ", ".join(f"{part['name']} {figure(part['seconds'])} s" for part in times["parts"])
        if words:
            yield _line(f"{run['name']}: {words}", 400)
