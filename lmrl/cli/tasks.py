"""`lmrl tasks`: list the tasks."""

import argparse
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json
from lmrl.cli.output import print_json


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_json(add_command(commands, "tasks", "list the tasks", "lmrl tasks --json", run))


def run(options: argparse.Namespace) -> int:
    """Print every task with its turns, score range, scripted players and variants."""
    from lmrl.scoring.tables import tasks_table
    from lmrl.tasks import known, make

    rows: list[dict[str, Any]] = []
    for name in sorted(known()):
        env = make(name)
        rows.append(
            {
                "task": name,
                "max_turns": env.max_turns,
                "score_range": list(env.score_range),
                "players": sorted(env.players),
                "variants": {name: dict(options) for name, options in env.variants.items()},
            }
        )
    if options.json:
        print_json(rows)
    else:
        print(tasks_table(rows))
    return 0
