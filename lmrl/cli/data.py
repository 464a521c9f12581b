"""`lmrl data generate`, `import`, `export` and `show`: make data sets, and look into them."""

import argparse
import sys
import time
from collections.abc import Iterable
from typing import Any

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_group,
    add_json,
    add_oracle,
    add_task_options,
    count,
    integer,
    lasting,
    oracle_config,
    path,
    task_options,
)
from lmrl.cli.output import print_json, progress, resumable
from lmrl.errors import unknown

ANSWERED_SHARD = 50
"""Episodes of a file where a model answers, since each of them may take seconds."""


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    data = add_group(
        commands,
        "data",
        "make and import data sets, and look into them",
        "lmrl data show data/maze",
    )
    _add_generate(data)
    _add_import(data)
    _add_export(data)
    show = add_command(data, "show", "describe a data set", "lmrl data show data/maze", run_show)
    show.add_argument(
        "path", type=path, metavar="DATA", help="folder of .parquet files, or one such file"
    )
    add_json(show)


def _add_generate(data: Commands) -> None:
    generate = add_command(
        data,
        "generate",
        "make a data set with a scripted player",
        "lmrl data generate maze-fo --episodes 1500 --out data/maze\n"
        "  lmrl data generate wordle --options.words 100 --player optimal --out data/wordle",
        run_generate,
    )
    generate.add_argument("task", metavar="TASK", help="name of the task, or module:Class")
    generate.add_argument(
        "--episodes", type=count, default=1000, metavar="N", help="number of episodes (1000)"
    )
    generate.add_argument(
        "--player", default="mixture", help="scripted player, see 'lmrl tasks TASK' (mixture)"
    )
    generate.add_argument(
        "--seed", type=integer, default=0, metavar="N", help="seed of the first episode (0)"
    )
    add_task_options(generate)
    add_oracle(generate)
    generate.add_argument("--out", type=path, required=True, metavar="DIR", help="a new folder")
    generate.add_argument(
        "--resume", action="store_true", help="go on with a data set that is not complete, in --out"
    )
    add_json(generate)


def _add_import(data: Commands) -> None:
    importing = add_command(
        data,
        "import",
        "make a data set of the published files of a task, or of logged dialogues",
        "lmrl data import wordle train_data.jsonl --out data/wordle\n"
        "  lmrl data import chat talks.jsonl --task examples.own_task:GuessNumber --out data/talks",
        run_import,
    )
    importing.add_argument(
        "form", metavar="FORM", help="task whose published files they are, or chat"
    )
    importing.add_argument(
        "files",
        type=path,
        nargs="+",
        metavar="FILE",
        help="file, which may be packed by gzip; see docs/trajectories.md",
    )
    importing.add_argument(
        "--task", metavar="TASK", help="task of logged dialogues, a name or module:Class"
    )
    importing.add_argument(
        "--skip-bad",
        default="0",
        metavar="N",
        help="leave out at most so many rows that cannot be read, or such a share, like 5%% (0)",
    )
    importing.add_argument("--out", type=path, required=True, metavar="DIR", help="a new folder")
    add_json(importing)


def run_generate(options: argparse.Namespace) -> int:
    """Make a data set with a scripted player; a model may answer for the task."""
    from lmrl.data.store import SHARD
    from lmrl.data.unfinished import make_data_set
    from lmrl.tasks import make

    options.options = task_options(options, options.task)
    env = make(options.task, **options.options)
    if options.player not in env.players:
        raise unknown("player", options.player, env.players)
    config = oracle_config(options)
    settings = {
        "task": options.task,
        "options": options.options,
        "player": options.player,
        "seed": options.seed,
        "episodes": options.episodes,
        "oracle": config and config.model,
    }
    began = time.perf_counter()
    asked, made = _episodes(options, config)
    shard = SHARD if config is None else ANSWERED_SHARD
    out = lasting(options.out, "--out")
    with resumable(stored=True):
        number = make_data_set(made, out, settings, options.resume, shard)
    return _report(options, number, time.perf_counter() - began, asked)


def _episodes(options: argparse.Namespace, config: Any) -> tuple[Any, Any]:
    """Return the usage of the model that answers, and a function: the episodes from a number on.

    Args:
        options: options of the command.
        config: settings of the model that answers; None for the task's own scripted one, which has
            no usage.
    """
    if config is None:
        from lmrl.data.generate import episodes

        def scripted(done: int) -> Iterable[Any]:
            env = make(options.task, **options.options)
            left, first = options.episodes - done, options.seed + done
            name, given = options.task, options.options
            return progress(episodes(env, name, left, first, options.player, given), left)

        from lmrl.tasks import make

        return None, scripted
    from cluster.evaluation.scripted import answered_episodes
    from cluster.evaluation.suite import ChatUsageReport

    asked = ChatUsageReport()

    def answered(done: int) -> Iterable[Any]:
        seeds = range(options.seed + done, options.seed + options.episodes)
        about = (config, options.task, options.options, options.player)
        return progress(answered_episodes(*about, seeds, asked), len(seeds))

    return asked, answered


def run_import(options: argparse.Namespace) -> int:
    """Make a data set of files from elsewhere."""
    from lmrl.data.bad_rows import SHOWN, BadRows
    from lmrl.data.importing import imported
    from lmrl.data.store import write_new

    began = time.perf_counter()
    bad = BadRows.parse(options.skip_bad)
    made = progress(imported(options.form, options.files, bad, options.task))
    number = write_new(made, lasting(options.out, "--out"))
    for line in bad.skipped[:SHOWN]:
        print(f"skipped {line}", file=sys.stderr)
    if len(bad.skipped) > SHOWN:
        print(f"skipped {len(bad.skipped) - SHOWN} more", file=sys.stderr)
    return _report(options, number, time.perf_counter() - began, skipped=len(bad.skipped))


def _add_export(data: Commands) -> None:
    export = add_command(
        data,
        "export",
        "write the episodes of a data set as JSON lines for other programs",
        "lmrl data export data/maze --out maze.jsonl\n"
        "  lmrl data export data/maze --form published --out fully_observed_maze_data.jsonl",
        run_export,
    )
    export.add_argument(
        "path", type=path, metavar="DATA", help="folder of .parquet files, or one such file"
    )
    export.add_argument(
        "--form",
        default="chat",
        metavar="FORM",
        help="chat (messages and rewards), or published (the task's published files) (chat)",
    )
    export.add_argument("--out", type=path, required=True, metavar="FILE", help="a new file")
    add_json(export)


def run_export(options: argparse.Namespace) -> int:
    """Write episodes as JSON lines."""
    from lmrl.data.exporting import exported
    from lmrl.data.store import load
    from lmrl.errors import UsageError
    from lmrl.files import writable

    if options.out.exists():
        raise UsageError(f"{options.out} exists; choose a new file with --out")
    began = time.perf_counter()
    writable(options.out.parent, "the folder of")
    partial = options.out.with_name(f".{options.out.name}.partial")
    number = 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            for line in progress(exported(load(options.path), options.form)):
                file.write(line + "\n")
                number += 1
        partial.rename(options.out)
    finally:
        partial.unlink(missing_ok=True)
    return _report(options, number, time.perf_counter() - began)


def _report(
    options: argparse.Namespace,
    number: int,
    seconds: float,
    asked: Any = None,
    skipped: int | None = None,
) -> int:
    """Print how many episodes a new data set or file has.

    Args:
        options: options of the command.
        number: number of episodes.
        seconds: time that it took, in seconds.
        asked: counts of what the answering model was asked; None without such a model.
        skipped: number of rows that were left out; None where none can be.
    """
    from lmrl.scoring.tables import asked_lines

    answers = asked.to_json() if asked else {}
    if options.json:
        record = {"episodes": number, "path": str(options.out), "seconds": round(seconds, 3)}
        left_out = {} if skipped is None else {"skipped": skipped}
        print_json({**record, **left_out, **answers})
        return 0
    without = f", without {skipped} rows that cannot be read" if skipped else ""
    print("\n".join([f"{number} episodes in {options.out}{without}", *asked_lines(answers)]))
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
