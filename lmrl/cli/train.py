"""`lmrl train`: train a preset, or go on with a run."""

import argparse
import shlex
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json, lasting
from lmrl.cli.output import print_json
from lmrl.errors import UsageError
from lmrl.screen import open_screen

EXAMPLE = """lmrl train maze-fo-ppo --run-dir runs/demo --learner.optimiser.lr 3e-4
  lmrl train maze-fo-ppo --fields          every field with its value
  lmrl train --resume runs/demo"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    train = add_command(commands, "train", "train a preset", EXAMPLE, run)
    train.set_defaults(takes_fields=True)
    train.add_argument("preset", nargs="?", help="see 'lmrl train --list'")
    train.add_argument("--list", action="store_true", help="list the presets and stop")
    train.add_argument("--fields", action="store_true", help="print every field of the preset")
    train.add_argument("--run-dir", type=Path, help="the run directory (runs/PRESET)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run directory")
    train.add_argument("--overwrite", action="store_true", help="replace a run that is there")
    train.add_argument("--config", type=Path, help="JSON file with fields, as config.json has them")
    train.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    train.add_argument("--verbose", action="store_true", help="show the actors' logs too")
    add_json(train)


def run(options: argparse.Namespace) -> int:
    """Train, or print the presets, the fields or the plan.

    Fields of the experiment, like `--learner.optimiser.lr`, are in `options.fields_given`.
    """
    if options.list:
        print(_presets())
        return 0
    if options.fields or options.dry_run:
        return _explain(options)
    summary, folder = _train(options)
    if options.json:
        print_json(summary)
    else:
        from lmrl.screen.closing import closing

        columns = max(40, min(shutil.get_terminal_size((100, 24)).columns, 120))
        print(closing(folder, summary, columns, not _is_utf8(sys.stdout.encoding)))
    return 0


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "") == "utf8"


def _explain(options: argparse.Namespace) -> int:
    """Print the fields or the plan of an experiment."""
    from cluster.fields import describe_fields

    log = _run_log(options)
    exp = _experiment(options, log)
    if options.fields:
        print(describe_fields(exp))
        return 0
    exp.check()
    if options.json:
        print_json(exp.to_json())
    else:
        print(_plan(exp, log.folder))
    return 0


def _train(options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """Train, and return the summary and the run directory."""
    name = options.resume or options.preset or options.config
    with open_screen(f"lmrl train {name}", plain=options.verbose) as screen, ExitStack() as stack:
        # The screen is there before the libraries, which take seconds to load.
        from cluster.train import train

        log = _run_log(options)
        if options.resume is not None:
            stack.enter_context(log.locked())
        exp = _experiment(options, log)
        resumed = options.resume is not None
        try:
            summary = train(exp, log, resumed, options.overwrite, options.verbose, screen)
        except KeyboardInterrupt as error:
            error.add_note(_how_to_go_on(log))
            raise
        return summary, log.folder


def _how_to_go_on(log: Any) -> str:
    """Return what an interrupted run has saved, and the command that continues it.

    Args:
        log: `RunLog` of the run.
    """
    from lmrl.runs.names import LAST, checkpoint

    if not log.holds_run:
        return f"nothing is left of the run in {log.folder}"
    last = checkpoint(log.folder, LAST)
    saved = f"{last.resolve().name} is saved" if last.is_symlink() else "no checkpoint is saved yet"
    return f"{saved}; go on with: lmrl train --resume {shlex.quote(str(log.folder))}"


def _presets() -> str:
    """Return the presets as text, each with the result that was measured."""
    from cluster.presets import PRESETS

    lines = []
    for name, (exp, measured) in PRESETS.items():
        reached = "not measured"
        if measured is not None:
            mean = sum(measured.returns) / len(measured.returns)
            reached = f"return {mean:.2f} in {measured.minutes:.0f} min ({measured.result})"
        lines.append(f"{name:<28} {exp.algorithm.name}, {exp.updates} updates; {reached}")
    return "\n".join(lines)


def _run_log(options: argparse.Namespace) -> Any:
    """Return the `RunLog` of the run directory that the options name.

    Raises:
        UsageError: if there is no run to resume, or no preset to start.
    """
    from cluster.presets import PRESETS
    from lmrl.runs.log import RunLog

    if options.resume is not None:
        if options.preset or options.fields_given:
            raise UsageError("--resume takes a run directory alone; its fields are in config.json")
        log = RunLog(lasting(options.resume, "--resume"))
        log.check_marked()
        return log
    if options.preset is None and options.config is None:
        raise UsageError(
            f"give a preset, or --config with a whole experiment; presets: {', '.join(PRESETS)}"
        )
    name = options.preset or options.config.stem
    return RunLog(lasting(options.run_dir or Path("runs") / name, "--run-dir"))


def _experiment(options: argparse.Namespace, log: Any) -> Any:
    """Return the `Experiment` of a run to resume, or of a preset with the fields given.

    Raises:
        UsageError: for unknown names, wrong values, or a run that has ended.
    """
    from cluster.fields import change, read_config
    from cluster.presets import preset
    from lmrl.runs.names import CONFIG

    if options.resume is not None:
        exp = read_config(log.folder / CONFIG)
        if log.finished:
            raise UsageError(f"{log.folder} has ended; its figures are in summary.json")
        return exp
    base = preset(options.preset) if options.preset is not None else None
    if options.config is not None:
        base = read_config(options.config, base)
    assert base is not None  # `_run_log` wants one of the two
    return change(base, options.fields_given)


def _plan(exp: Any, folder: Path) -> str:
    """Return the plan of a run as text.

    Args:
        exp: the `Experiment`.
        folder: run directory.
    """
    from cluster.startup.launch import bundles

    source = (
        f"{exp.rollouts.turns} fresh turns an update"
        if exp.algorithm.on_policy
        else f"{exp.data.batch} episodes an update from {exp.data.path or 'data to be made'}"
    )
    start = exp.model.path or exp.start or "random weights"
    place = bundles(exp, "cuda" if exp.placement.device == "cuda" else "cpu")
    needed = sum(bundle["CPU"] for bundle in place)
    return "\n".join(
        [
            f"{exp.algorithm.name} on {exp.task} {exp.options or ''}",
            f"start      {start}",
            f"updates    {exp.updates}, {source}",
            f"actors     {exp.learner.ranks} learner rank(s) (ZeRO {exp.learner.optimiser.zero}), "
            f"{exp.sampler.count} sampler(s), {exp.simulator.count} simulator(s): {needed:g} CPUs",
            f"model      context {exp.model.context}, at most {exp.rollouts.max_tokens} tokens an "
            "action",
            f"scores     {exp.evaluation.episodes} episodes from seed {exp.evaluation.first_seed}",
            f"run        {folder}",
        ]
    )
