"""`lmrl view`: runs in a terminal."""

import argparse

from lmrl.cli.arguments import Commands, add_command
from lmrl.cli.runs.report import add_load_tasks, add_runs

EXAMPLE = """lmrl view runs/demo
  lmrl view runs                            every run in a folder"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    view = add_command(
        commands, "view", "browse episodes and curves of runs in a terminal", EXAMPLE, run
    )
    add_runs(view)
    add_load_tasks(view)


def run(options: argparse.Namespace) -> int:
    """Show the runs until the user quits."""
    from lmrl.report.overview.runs import find_runs
    from lmrl.view.terminal import check

    find_runs(options.runs)
    check()
    from lmrl.view.app import show

    return show(options.runs, options.load_tasks)
