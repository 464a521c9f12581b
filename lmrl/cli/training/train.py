"""`lmrl train`: train a preset or an algorithm, or go on with a run."""

import argparse
import shlex
import shutil
import sys
from contextlib import ExitStack
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json, lasting, path
from lmrl.cli.output import print_json
from lmrl.cli.training.chosen import experiment, run_folder
from lmrl.errors import OutOfTime, UsageError, option

EXAMPLE = """lmrl train maze-fo-ppo --run-dir runs/demo --learner.optimiser.lr 3e-4
  lmrl train ppo --task examples.own_task:GuessNumber      defaults are derived from the task
  lmrl train maze-fo-ppo --fields                          every field with its value and meaning
  lmrl train maze-fo-ppo --start.updates 50                change the training of its start policy
  lmrl train --resume runs/demo                            after Ctrl-C, or a crash
  lmrl train --resume runs/demo --updates 48               extend it
  lmrl train maze-fo-ppo --run-dir runs/demo --resume auto   begin, or go on: for a batch system
  lmrl train --from runs/demo --run-dir runs/other --algorithm.clip 0.1 --updates 96"""

AUTO = "auto"
"""Value of `--resume` that begins a run, or goes on with it."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    train = add_command(commands, "train", "train a preset or an algorithm", EXAMPLE, run)
    train.fields = ""
    train.add_argument(
        "name",
        nargs="?",
        metavar="PRESET|ALGORITHM",
        help="preset, see --list; or an algorithm, with --task",
    )
    train.add_argument(
        "--algorithm", metavar="NAME", help="algorithm instead of the preset's, or module:Class"
    )
    train.add_argument("--list", action="store_true", help="list the presets and stop")
    train.add_argument("--fields", action="store_true", help="print every field and stop")
    train.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    train.add_argument("--run-dir", type=path, metavar="DIR", help="run directory (runs/NAME)")
    train.add_argument(
        "--resume",
        type=path,
        metavar="RUN|auto",
        help="go on with a run directory; auto begins the run if it is not there",
    )
    train.add_argument(
        "--from",
        dest="source",
        type=path,
        metavar="RUN",
        help="begin at the last checkpoint of another run, with its fields",
    )
    train.add_argument("--overwrite", action="store_true", help="replace a run that is there")
    train.add_argument("--config", type=path, metavar="FILE", help="JSON or TOML file with fields")
    train.add_argument("--verbose", action="store_true", help="show the actors' logs too")
    add_json(train)
    train.add_argument_group(
        "fields",
        "Every field of the experiment is an option, like --task TASK, --options.NAME VALUE,\n"
        "--seed N, --updates N, --learner.optimiser.lr X; --fields prints them all. Fields of a\n"
        "configuration file have underscores, like save_every; here they are --save-every.",
    )


def run(options: argparse.Namespace) -> int:
    """Train, or print the presets, the fields or the plan.

    Fields of the experiment, like `--learner.optimiser.lr`, are in `options.fields_given`.
    """
    _check(options)
    if options.list:
        from lmrl.cli.training.listing import print_presets

        return print_presets(options.json)
    if options.fields or options.dry_run:
        return _show(options)
    return _train(options)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: with the options and the remedy.
    """
    changes = [option(name.partition(".")[0]) for name, _ in options.fields_given]
    given = [] if options.name is None else [f"'{options.name}'"]
    names = ("algorithm", "config", "run_dir", "overwrite", "dry_run", "fields", "source")
    given += [option(n).replace("source", "from") for n in names if getattr(options, n)]
    if options.list and (given or changes or options.resume):
        first = [*given, *changes, "--resume"][0]
        raise UsageError(f"--list lists every preset; leave {first} out")
    if _auto(options):
        if options.overwrite:
            raise UsageError("--resume auto keeps a run, and --overwrite replaces it; give one")
    elif options.resume is not None and given:
        raise UsageError(
            f"--resume takes a run directory and fields; leave {given[0]} out: the rest is in the "
            "run's config.json"
        )
    if options.source is not None:
        given.remove("--from")
        if given != ["--run-dir"]:
            others = [name for name in given if name != "--run-dir"]
            raise UsageError(
                f"--from takes a run and fields; leave {others[0]} out"
                if others
                else "--from needs --run-dir with a directory for the new run"
            )
        return
    if options.list or (options.resume is not None and not _auto(options)):
        return
    if options.fields and options.dry_run:
        raise UsageError("--fields and --dry-run exclude each other; give one")
    if options.name is None and options.config is None and options.algorithm is None:
        raise UsageError(
            "give a preset ('lmrl train --list' lists them), an algorithm with --task, or --config "
            "with a whole experiment"
        )


def _train(options: argparse.Namespace) -> int:
    """Train, and print the last screen of the run."""
    from lmrl.screen import open_screen

    named = (options.name, options.config, options.algorithm, options.source, options.resume)
    words = next(filter(None, named))
    with open_screen(f"lmrl train {words}", plain=options.verbose) as screen, ExitStack() as stack:
        # The screen is there before the libraries, which take seconds to load.
        from cluster.train import train

        log, exp, resume = _chosen(options, stack)
        if exp is None:
            return _ended_already(log, options.json)
        try:
            summary = train(exp, log, resume, options.overwrite, options.verbose, screen)
        except (KeyboardInterrupt, OutOfTime) as error:
            error.add_note(_how_to_go_on(log))
            raise
    if options.json:
        print_json(summary)
    else:
        from lmrl.screen.closing import closing

        columns = max(40, min(shutil.get_terminal_size((100, 24)).columns, 120))
        print(closing(log.folder, summary, columns, not _is_utf8(sys.stdout.encoding)))
    return 0


def _auto(options: argparse.Namespace) -> bool:
    return options.resume is not None and str(options.resume) == AUTO


def _chosen(options: argparse.Namespace, stack: ExitStack) -> tuple[Any, Any, bool]:
    """Return the `RunLog`, the `Experiment`, and whether its run goes on.

    The experiment is None if there is nothing left to do.

    Args:
        options: options of the command.
        stack: stack that holds the lock of a run directory which is changed.
    """
    from cluster.fields import change
    from cluster.startup.continuing import check_changes, fork, go_on, recorded_run
    from lmrl.runs.log import RunLog

    if options.source is not None:
        exp = change(recorded_run(RunLog(options.source)), options.fields_given)
        log = RunLog(lasting(options.run_dir, "--run-dir"))
        exp.check()
        stack.enter_context(log.locked())
        fork(options.source, exp, log)
        return log, exp, True
    if options.resume is not None and not _auto(options):
        log = RunLog(lasting(options.resume, "--resume"))
        log.check_marked()
        stack.enter_context(log.locked())
        exp = change(recorded_run(log), options.fields_given)
        go_on(log, exp)
        return log, exp, True
    exp = experiment(options).with_found_model()
    log = RunLog(run_folder(options, exp))
    exp.check()
    exp = exp.with_absolute_paths()
    if not _auto(options) or not log.holds_run:
        return log, exp, False
    stack.enter_context(log.locked())
    check_changes(log, exp)
    if log.finished and recorded_run(log).updates >= exp.updates:
        return log, None, True
    go_on(log, exp)
    return log, exp, True


def _ended_already(log: Any, as_json: bool) -> int:
    """Say that a run has ended, and nothing is left to do."""
    import json

    from lmrl.runs.names import SUMMARY

    if as_json:
        print_json(json.loads((log.folder / SUMMARY).read_text()))
    else:
        print(f"{log.folder} has ended; 'lmrl status {log.folder}' prints its figures")
    return 0


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "") == "utf8"


def _how_to_go_on(log: Any) -> str:
    """Return what an interrupted run has saved, and the command that continues it.

    Args:
        log: `RunLog` of the run.
    """
    from lmrl.runs.names import LAST, START, checkpoint

    if log.put_back:
        return f"nothing of the new run is saved, and {log.folder} holds the old one again"
    if not log.holds_run:
        return f"nothing is left of the run in {log.folder}"
    last, start = checkpoint(log.folder, LAST), checkpoint(log.folder / START, LAST)
    if last.is_symlink():
        saved = f"{last.resolve().name} is saved"
    elif start.is_symlink():
        saved = f"{start.resolve().name} of the start policy is saved"
    else:
        saved = "no checkpoint is saved yet"
    return f"{saved}; go on with: lmrl train --resume {shlex.quote(str(log.folder))}"


def _show(options: argparse.Namespace) -> int:
    exp = experiment(options)
    if options.fields:
        from lmrl.cli.training.listing import print_fields

        return print_fields(exp, options.json)
    exp = exp.with_found_model()
    folder = run_folder(options, exp)
    exp.check()
    if options.json:
        from lmrl.cli.training.plan import estimates

        print_json({**exp.to_json(), "estimates": estimates(exp, options.name)})
    else:
        from lmrl.cli.training.plan import plan

        print(plan(exp, folder, options.name))
    return 0
