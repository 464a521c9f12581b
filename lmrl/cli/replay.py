"""`lmrl replay`: play stored episodes again and report where they differ."""

import argparse

from lmrl.cli.arguments import Commands, add_command, add_json, path
from lmrl.cli.output import print_json
from lmrl.cli.runs.report import add_load_tasks

MAX_PRINTED = 20
"""Maximum number of differing episodes that are printed."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    replay = add_command(
        commands,
        "replay",
        "play stored episodes again and report where they differ",
        "lmrl replay data/maze",
        run,
    )
    replay.add_argument(
        "path", type=path, metavar="DATA", help="folder of .parquet files, or one such file"
    )
    add_load_tasks(replay)
    add_json(replay)


def run(options: argparse.Namespace) -> int:
    """Replay a data set; the exit code is 1 if an episode differs."""
    from lmrl.data.replay import replay_all
    from lmrl.data.store import load

    report = replay_all(load(options.path), options.load_tasks)
    differing = len(report.differences)
    if options.json:
        print_json(report.to_json())
        return int(differing > 0)
    for difference in report.differences[:MAX_PRINTED]:
        print(difference.sentence())
    if differing > MAX_PRINTED:
        print(f"and {differing - MAX_PRINTED} more, which --json lists")
    print(f"{report.episodes} episodes: {report.episodes - differing} equal, {differing} differ")
    return int(differing > 0)
