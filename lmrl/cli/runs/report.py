"""`lmrl report`: the report of runs as one HTML file."""

import argparse
from pathlib import Path

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_json,
    index,
    lasting,
    path,
    value,
)
from lmrl.cli.output import print_json
from lmrl.limits import Range
from lmrl.runs.names import REPORT

EXAMPLE = """lmrl report runs/demo
  lmrl report runs/ppo-0 runs/ppo-1 runs/ppo-2 --out ppo.html
  lmrl report runs                          every run in a folder"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    report = add_command(
        commands, "report", "write the report of runs as one HTML file", EXAMPLE, run
    )
    add_runs(report)
    report.add_argument(
        "--out",
        type=path,
        metavar="FILE",
        help=f"the file (RUN/{REPORT}; for several runs ./{REPORT})",
    )
    report.add_argument(
        "--episodes", type=index, default=10_000, metavar="N", help="most episodes in it (10000)"
    )
    report.add_argument(
        "--megabytes",
        type=value(float, Range(low=0.0, high=1000.0)),
        default=16.0,
        metavar="M",
        help="most megabytes of episodes in it (16)",
    )
    add_load_tasks(report)
    add_json(report)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the runs that a command shows to its parser."""
    parser.add_argument(
        "runs",
        type=path,
        nargs="+",
        metavar="RUN",
        help="a run directory, or a folder that holds some",
    )


def add_load_tasks(parser: argparse.ArgumentParser) -> None:
    """Add the option `--load-tasks`."""
    parser.add_argument(
        "--load-tasks",
        action="store_true",
        help="import tasks that are named as module:Class or gym:ID, which runs their code",
    )


def run(options: argparse.Namespace) -> int:
    """Write the report and print its path."""
    from lmrl.report.page import write_report
    from lmrl.trajectory import printable

    single = len(options.runs) == 1
    out = lasting(options.out or (options.runs[0] / REPORT if single else Path(REPORT)), "--out")
    written = write_report(
        options.runs, out, options.episodes, options.megabytes, options.load_tasks
    )
    if options.json:
        print_json(
            {
                "path": str(written.path.absolute()),
                "bytes": written.size,
                "runs": written.runs,
                "episodes": {"shown": written.shown, "stored": written.stored},
                "problems": list(written.problems),
            }
        )
        return 0
    for problem in written.problems:
        print(f"not read: {printable(problem)}")
    print(
        f"{written.path.absolute()}: {written.runs} {'run' if written.runs == 1 else 'runs'}, "
        f"{written.shown} of {written.stored} episodes, {written.size / 1e6:.1f} MB; open it in a "
        "browser"
    )
    return 0
