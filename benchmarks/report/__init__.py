"""The tables of docs/performance.md, from the committed results.

A benchmark writes its `ratios` by the name of the row. A row without a committed result says "not
measured".
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.record import RESULTS, filled, load

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"

UNMEASURED = "not measured"


class Row(NamedTuple):
    """A ratio to measure.

    Attributes:
        name: name of the row, which is the key in `ratios` too.
        benchmark: name of the benchmark and of its result; empty if there is none yet.
        bound: value that has to be reached.
        aim: value that is aimed at.
        least: whether larger values are better.
        unit: unit of the values; empty is a ratio.
    """

    name: str
    benchmark: str
    bound: float
    aim: float
    least: bool = True
    unit: str = ""

    def holds(self, value: float) -> bool:
        """Return whether a value reaches the bound."""
        return value >= self.bound if self.least else value <= self.bound


ROWS = (
    Row("sampler path / raw vLLM offline, same requests", "sampler", 0.85, 0.95),
    Row("rollout episodes/s / lock-step loop, long-tailed task", "rollout", 1.5, 2.0),
    Row(
        "Wordle rollout env steps/s, GPT-2 4x256, vocabulary 50,257, 16 tokens an action",
        *("rollout", 60.0, 115.0),
        unit="/s",
    ),
    Row("learner / plain padded PyTorch, real ragged episodes", "", 1.3, 2.0),
    Row("weight push time / memcpy time, >= 100 M parameters", "weights", 4.0, 2.0, least=False),
    Row("value-guided decoding / mean of two plain models", "decoding", 0.88, 0.95),
    Row("driver's own time per update / update time", "", 0.05, 0.01, least=False),
    Row("learner idle share, staleness 2", "", 0.15, 0.05, least=False),
    Row("control-plane efficiency, 64 samplers / 1", "scaling", 0.9, 0.95),
    Row("error of the scaling model on measured points", "scaling", 0.15, 0.1, least=False),
    Row("start: command to first update, tiny model", "start", 30.0, 15.0, False, " s"),
)


def found(name: str) -> dict[str, Any]:
    """Return the committed result of a benchmark; empty without one."""
    return load(name) if (RESULTS / f"{name}.json").exists() else {}


def ratios() -> str:
    """Return all rows with their values."""
    lines = ["| ratio | at least | aim | measured | command |", "|---|---|---|---|---|"]
    for row in ROWS:
        sign = "" if row.least else "at most "
        value = found(row.benchmark).get("ratios", {}).get(row.name)
        shown = UNMEASURED
        if value is not None:
            shown = f"{value:.3g}{row.unit}" + ("" if row.holds(value) else ", falls short")
        command = f"`python -m benchmarks.{row.benchmark}`" if row.benchmark else "none yet"
        lines.append(
            f"| {row.name} | {sign}{row.bound:g}{row.unit} | {row.aim:g}{row.unit} | {shown} "
            f"| {command} |"
        )
    return "\n".join(lines)


def _table(name: str, head: str, lines: Callable[[dict[str, Any]], list[str]]) -> str:
    """Return a table of a result, and the machine and command that made it.

    Args:
        name: name of the result.
        head: names of the columns, between bars.
        lines: function from the result to its rows.
    """
    titles = [head, "|---" * (head.count("|") - 1) + "|"]
    record = found(name)
    if not record:
        return "\n".join([*titles, f"| {UNMEASURED} |" + " |" * (head.count("|") - 2)])
    machine = record["machine"]
    note = (
        f"{machine['cores']} cores, {machine['processor']}, commit {record['commit'][:7]}, "
        f"{record['date']}; `{record['command']}`."
    )
    return "\n".join([*titles, *lines(record), "", note])


def start() -> str:
    """Return the parts of a start."""
    return _table(
        "start",
        "| part | seconds |",
        lambda record: [f"| {part} | {value:.1f} |" for part, value in record["parts"].items()],
    )


def weights() -> str:
    """Return the parts of pushes by size."""
    names = ("gather", "put", "get", "load", "gate")
    return _table(
        "weights",
        "| parameters | samplers | push (s) | GB/s | memcpy (s) | " + " | ".join(names) + " |",
        lambda record: [
            f"| {row['parameters'] / 1e6:.0f} M | {row['samplers']} "
            f"| {row['push_seconds']['median']:.3f} | {row['bytes_per_s'] / 1e9:.2f} "
            f"| {row['memcpy_seconds']['median']:.4f} | "
            + " | ".join(f"{row['parts'][name]:.3f}" for name in names)
            + " |"
            for row in record["rows"]
        ],
    )


def rollout() -> str:
    """Return the speed of each case of a rollout."""
    return _table(
        "rollout",
        "| case | env steps/s | episodes/s | lock-step episodes/s | ratio |",
        lambda record: [
            f"| {row['case']} | {row['steps_per_s']['median']:.1f} "
            f"| {row['episodes_per_s']['median']:.2f} "
            f"| {row['lock_step_episodes_per_s']['median']:.2f} | {row['ratio']:.2f} |"
            for row in record["rows"]
        ],
    )


def control_plane() -> str:
    """Return the measured points of the control plane, beside the model's."""
    return _table(
        "scaling",
        "| samplers | simulators | turns/s | efficiency | cores busy | model | error |",
        lambda record: [
            f"| {p['samplers']} | {p['samplers'] * p['per_sampler']} "
            f"| {p['turns_per_s']['median']:.0f} | {p['efficiency']:.2f} "
            f"| {100 * p['cores_busy']:.0f} % | {p['predicted_turns_per_s']:.0f} "
            f"| {100 * p['error']:.0f} % |"
            for p in record["control_plane"]["points"]
        ],
    )


def prediction() -> str:
    """Return the predicted weak scaling."""
    return _table(
        "scaling",
        "| samplers | turns/s | efficiency | saturated |",
        lambda record: [
            f"| {row['samplers']} | {row['turns_per_s']:.0f} | {row['efficiency']:.2f} "
            f"| {row['saturated']} |"
            for row in record["prediction"]["weak"]
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    "ratios": ratios,
    "start": start,
    "weights": weights,
    "rollout": rollout,
    "control-plane": control_plane,
    "prediction": prediction,
}


def render(text: str) -> str:
    """Return `text` with new versions of all marked tables."""
    return filled(text, "measured", TABLES)
