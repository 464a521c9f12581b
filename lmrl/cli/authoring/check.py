"""`lmrl check`: run the contract of a task over a task of your own."""

import argparse

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_json,
    add_task_options,
    count,
    task_options,
)
from lmrl.cli.output import print_json


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    check = add_command(
        commands,
        "check",
        "check that a task keeps the contract of tasks",
        "lmrl check my_task:MyTask",
        run,
    )
    check.add_argument("task", metavar="TASK", help="name of the task, or module:Class")
    add_task_options(check)
    check.add_argument(
        "--episodes", type=count, default=20, metavar="N", help="episodes of each check (20)"
    )
    add_json(check)


def run(options: argparse.Namespace) -> int:
    """Print the findings; the exit code is 1 if the task breaks the contract."""
    from lmrl.tasks.contract import check
    from lmrl.trajectory import printable

    findings = check(options.task, task_options(options, options.task), options.episodes)
    broken = [finding for finding in findings if not finding.ok]
    if options.json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark = "ok" if finding.ok else "NO"
            print(f"{mark:<3} {finding.check:<24} {printable(finding.text)}")
        print(f"\n{len(findings) - len(broken)} of {len(findings)} checks passed")
    return int(bool(broken))
