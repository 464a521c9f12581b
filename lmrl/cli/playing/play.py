"""`lmrl play`: play a task yourself."""

import argparse

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_task_options,
    count,
    integer,
    path,
    task_options,
)

EXAMPLE = """lmrl play maze-po --seed 7
  lmrl play wordle --options.words 100 --episodes 10 --out study"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    play = add_command(commands, "play", "play a task yourself, at the terminal", EXAMPLE, run)
    play.add_argument("task", metavar="TASK", help="name of the task, or module:Class")
    play.add_argument("--episodes", type=count, default=1, metavar="N", help="episodes (1)")
    play.add_argument(
        "--seed", type=integer, metavar="N", help="seed of the first episode; drawn if not given"
    )
    add_task_options(play)
    play.add_argument(
        "--out",
        type=path,
        metavar="DIR",
        help="folder in which the episodes are stored as a study; one begun there is continued",
    )


def run(options: argparse.Namespace) -> int:
    """Let a person play the episodes, and store them if a folder was given."""
    from lmrl.cli.playing.study import hold
    from lmrl.human.person import HUMAN
    from lmrl.human.study import AGENT, Study
    from lmrl.seeds import fresh_seed

    study = Study(
        options.task,
        task_options(options, options.task),
        AGENT,
        (HUMAN,),
        options.episodes,
        fresh_seed() if options.seed is None else options.seed,
    )
    return hold(study, options.out, options.seed is not None)
