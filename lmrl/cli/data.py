"""`lmrl data generate`, `lmrl data import` and `lmrl data show`: make data sets and show them."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_group,
    add_json,
    add_oracle,
    add_task_options,
    lasting,
    oracle_config,
)
from lmrl.cli.output import print_json, progress
from lmrl.errors import UsageError, unknown


def add(commands: Commands) -> None:
    """Add the three commands to the command line."""
    data = add_group(
        commands,
        "data",
        "make and import data sets, and look into them",
        "lmrl data show data/maze",
    )
    _add_generate(data)
    _add_import(data)
    show = add_command(data, "show", "describe a data set", "lmrl data show data/maze", run_show)
    show.add_argument("path", type=Path, help="a folder of .parquet files, or one file")
    add_json(show)


def _add_generate(data: Commands) -> None:
    generate = add_command(
        data,
        "generate",
        "make a data set with a scripted player",
        "lmrl data generate maze-fo --episodes 1500 --out data/maze",
        run_generate,
    )
    generate.add_argument("task")
    generate.add_argument("--episodes", type=int, default=1000, help="number of episodes (1000)")
    generate.add_argument("--out", type=Path, required=True, help="a new folder")
    generate.add_argument("--player", default="mixture", help="scripted player (mixture)")
    generate.add_argument("--seed", type=int, default=0, help="seed of the first episode (0)")
    add_task_options(generate, default={}, help="options of the task, as JSON")
    add_oracle(generate)
    add_json(generate)


def _add_import(data: Commands) -> None:
    importing = add_command(
        data,
        "import",
        "make a data set of the published files of a task",
        "lmrl data import wordle train_data.jsonl --out data/wordle",
        run_import,
    )
    importing.add_argument("task")
    importing.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="see docs/trajectories.md"
    )
    importing.add_argument("--out", type=Path, required=True, help="a new folder")
    add_json(importing)


def run_generate(options: argparse.Namespace) -> int:
    """Make a data set with a scripted player; a model may answer for the task."""
    from lmrl.data.generate import episodes
    from lmrl.tasks import make

    if options.episodes < 1:
        raise UsageError(f"--episodes is {options.episodes}; give 1 or more")
    env = make(options.task, **options.options)
    if options.player not in env.players:
        raise unknown("player", options.player, env.players)
    config = oracle_config(options)
    if config is not None:
        return _generate_answered(options, config)
    made = episodes(
        env, options.task, options.episodes, options.seed, options.player, options.options
    )
    return _write(options, progress(made, options.episodes))


def _generate_answered(options: argparse.Namespace, config: Any) -> int:
    """Make a data set in which a model answers for the task."""
    from cluster.evaluation.scripted import answered_episodes
    from cluster.evaluation.suite import ChatUsageReport

    asked = ChatUsageReport()
    seeds = range(options.seed, options.seed + options.episodes)
    made = answered_episodes(config, options.task, options.options, options.player, seeds, asked)
    return _write(options, progress(made, options.episodes), asked)


def run_import(options: argparse.Namespace) -> int:
    """Make a data set of published files."""
    from lmrl.data.importing import imported

    return _write(options, progress(imported(options.task, options.files)))


def _write(options: argparse.Namespace, made: Any, asked: Any = None) -> int:
    """Write a new data set to `options.out`, and print how many episodes it has.

    Args:
        options: options of the command.
        made: episodes to write.
        asked: counts of what the answering model was asked; None without such a model.
    """
    from lmrl.data.store import write_new
    from lmrl.scoring.tables import asked_lines

    began = time.perf_counter()
    count = write_new(made, lasting(options.out, "--out"))
    seconds = time.perf_counter() - began
    record = {"episodes": count, "path": str(options.out), "seconds": round(seconds, 3)}
    answers = asked.to_json() if asked else {}
    if options.json:
        print(json.dumps({**record, **answers}))
        return 0
    print("\n".join([f"{count} episodes in {options.out}", *asked_lines(answers)]))
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print the facts about a data set."""
    from lmrl.data.describe import describe
    from lmrl.scoring.tables import data_set

    facts = describe(options.path)
    if options.json:
        print_json(facts)
    else:
        print(data_set(facts))
    return 0
