"""`lmrl compare`: compare finished runs of one task."""

import argparse

from lmrl.cli.arguments import Commands, add_command, add_json, path
from lmrl.cli.output import print_json
from lmrl.cli.runs.report import add_load_tasks


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    compare = add_command(
        commands,
        "compare",
        "compare finished runs of one task, grouped by everything but their seeds",
        "lmrl compare runs/ppo-0 runs/ppo-1 runs/ppo-2 runs/ilql-0 runs/ilql-1 runs/ilql-2",
        run,
    )
    compare.add_argument("runs", type=path, nargs="+", metavar="RUN", help="a run directory")
    compare.add_argument(
        "--policy",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="policies in scores.jsonl instead of the learned one",
    )
    compare.add_argument(
        "--at", choices=("best", "last"), default="last", help="which checkpoint of a run (last)"
    )
    add_load_tasks(compare)
    add_json(compare)


def run(options: argparse.Namespace) -> int:
    """Print the groups of runs with their scores and the differences between them."""
    from lmrl.scoring.compare import compare, table

    found = compare(options.runs, options.policy, options.at, options.load_tasks)
    if options.json:
        print_json(found.to_json())
    else:
        print(table(found))
    return 0
