"""The experiment that a call of `lmrl train` chooses: a preset, algorithm or file, with fields."""

import argparse
import re
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import lasting
from lmrl.errors import UsageError, nearest, option

OPTIONS = (
    "--algorithm",
    "--list",
    "--fields",
    "--dry-run",
    "--run-dir",
    "--resume",
    "--from",
    "--overwrite",
    "--config",
    "--verbose",
    "--json",
)
"""Options of the command that are not fields, for the nearest name."""


def experiment(options: argparse.Namespace) -> Any:
    """Return the `Experiment` of a preset, an algorithm or a file, with the fields given.

    Raises:
        UsageError: for unknown names, wrong values, or fields without an effect.
    """
    from cluster.fields import change, read_config

    _check_options(options.fields_given)
    base, fields = _base(options)
    if options.config is not None:
        base = read_config(options.config, base)
    assert base is not None  # `_check` wants one of the three
    return change(base, fields)


def _check_options(fields: list[tuple[str, str]]) -> None:
    """Refuse a field that does not exist and has the name of an option, nearly.

    Args:
        fields: names and texts of the fields that were given.

    Raises:
        UsageError: with the option.
    """
    from cluster.experiment import Experiment
    from cluster.fields import hints_of

    known = hints_of(Experiment)
    for name, _ in fields:
        hint = nearest(option(name), OPTIONS, cutoff=0.8)
        if hint and name.partition(".")[0] not in known:
            raise UsageError(f"option {option(name)} is unknown{hint}")


def _base(options: argparse.Namespace) -> tuple[Any, list[tuple[str, str]]]:
    """Return the experiment before the fields are changed, and the fields.

    The experiment is None if a file has the whole of it.
    """
    from cluster.presets import known, preset
    from learners.algorithms.registry import known as algorithms

    name, fields = options.name, list(options.fields_given)
    if name is None and options.algorithm is None:
        return None, fields
    if name is None or (name not in known() and (name in algorithms() or ":" in name)):
        if name is not None and options.algorithm is not None:
            raise UsageError(f"--algorithm and '{name}' both name an algorithm; give one")
        return _derived(name or options.algorithm, fields)
    if name not in known():
        hint = nearest(name, [*known(), *algorithms()])
        raise UsageError(
            f"preset or algorithm '{name}' is unknown{hint or ';'} 'lmrl train --list' lists the "
            f"presets; algorithms: {', '.join(algorithms())}"
        )
    base = preset(name)
    if options.algorithm is not None:
        base = _with_algorithm(base, options.algorithm)
    return base, fields


def _derived(name: str, fields: list[tuple[str, str]]) -> tuple[Any, list[tuple[str, str]]]:
    """Return an experiment of an algorithm on the task of `--task`, and the other fields."""
    from cluster.fields import task_of
    from cluster.presets.derived import derived

    task, options, others = task_of(fields)
    if task is None:
        raise UsageError(
            f"'{name}' is an algorithm, and needs --task; 'lmrl tasks' lists the tasks, and a task "
            "of your own is module:Class"
        )
    return derived(name, task, options), others


def _with_algorithm(base: Any, name: str) -> Any:
    from dataclasses import replace

    from cluster.presets.derived import facts
    from learners.algorithms.registry import algorithm_class
    from lmrl.tasks import make

    env = make(base.task, **base.options)
    return replace(base, algorithm=algorithm_class(name).for_task(facts(env)))


def run_folder(options: argparse.Namespace, exp: Any) -> Path:
    """Return the run directory: the one given, or `runs/NAME`.

    Args:
        options: options of the command.
        exp: the `Experiment`.
    """
    from cluster.presets import known

    if options.run_dir:
        return lasting(options.run_dir, "--run-dir")
    if options.name in known():
        name = options.name
    elif options.config is not None:
        name = options.config.stem
    else:
        several = exp.task.split()
        names = [task.rpartition(":")[0] for task in several] if several[1:] else several
        name = "-".join([*(task.rpartition(":")[2] for task in names), exp.algorithm.name])
    return lasting(Path("runs") / re.sub(r"[^\w.-]+", "-", name), "--run-dir")
