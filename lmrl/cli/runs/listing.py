"""`lmrl runs` and `lmrl status`: which runs there are, and how one is doing."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json, path
from lmrl.cli.output import print_json


def add(commands: Commands) -> None:
    """Add both commands to the command line."""
    runs = add_command(commands, "runs", "list the runs in a folder", "lmrl runs", run_runs)
    runs.add_argument(
        "folder", nargs="?", type=path, default=Path("runs"), metavar="DIR", help="folder (runs)"
    )
    add_json(runs)
    status = add_command(
        commands, "status", "print how a run is doing", "lmrl status runs/demo", run_status
    )
    status.add_argument("run", type=path, metavar="RUN", help="run directory")
    add_json(status)


def run_runs(options: argparse.Namespace) -> int:
    """Print the runs in a folder, newest first."""
    from lmrl.runs.overview import ago, runs_below
    from lmrl.scoring.text import text_table
    from lmrl.trajectory import printable

    found = runs_below(options.folder)
    if options.json:
        print_json([run.to_json() for run in found])
        return 0
    if not found:
        print(f"no run in {options.folder}; 'lmrl train PRESET' begins one")
        return 0
    cells = [
        [
            printable(cell)
            for cell in (
                str(run.folder),
                run.task,
                run.algorithm,
                run.state,
                f"{_shown(run.update)}/{_shown(run.updates)}",
                "-" if run.last_return is None else f"{run.last_return:.2f}",
                ago(run.changed),
            )
        ]
        for run in found
    ]
    columns = ("run", "task", "algorithm", "state", "updates", "return", "changed")
    print(text_table(columns, cells, left=(0, 1, 2, 3, 6)))
    return 0


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)


def run_status(options: argparse.Namespace) -> int:
    """Print the state of a run, its scores, and the next command."""
    from lmrl.runs.overview import overview

    run = overview(options.run)
    if options.json:
        print_json({**run.to_json(), "status": run.status, "scores": run.scores})
    else:
        print(describe(run))
    return 0


def describe(run: Any) -> str:
    """Return the state of a run as text.

    Args:
        run: the `Overview`.
    """
    from lmrl.runs.overview import ago, number
    from lmrl.trajectory import printable

    left = number(run.status.get("seconds_left"))
    state = run.state
    if run.state != "ended":
        state += f", update {_shown(run.update)} of {_shown(run.updates)}"
    if run.state == "running" and left is not None:
        state += f", about {left / 60:.0f} min left"
    lines = [
        f"{run.algorithm} on {run.task}, in {run.folder}",
        f"state      {state}, changed {ago(run.changed)}",
    ]
    error = run.status.get("error")
    if isinstance(error, str):
        lines.append(f"error      {error}")
    line = run.status.get("line")
    if isinstance(line, str):
        lines.append(f"last line  {line}")
    for row in run.scores:
        mean = number(row.get("return_mean"))
        shown = "-" if mean is None else f"{mean:.2f}"
        lines.append(f"score      {row.get('policy')} after update {row.get('update')}: {shown}")
    lines += [f"next       {command}" for command in _next(run)]
    return "\n".join(printable(line) for line in lines)


def _next(run: Any) -> list[str]:
    folder = shlex.quote(str(run.folder))
    if run.resumable:
        return [f"lmrl train --resume {folder}"]
    if run.state == "ended":
        return [f"lmrl evaluate checkpoint {folder}", f"lmrl transcripts {folder}"]
    return []
