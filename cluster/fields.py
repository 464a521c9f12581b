"""Change the fields of an `Experiment` from the command line or a file, checked by their types."""

import contextlib
import dataclasses
import difflib
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from cluster.experiment import Experiment
from learners.algorithms.registry import algorithm_class, as_json
from lmrl.errors import UsageError
from lmrl.limits import check_used
from lmrl.runs.names import CONFIG, MARKER, RECORD


def _parser(exp: Experiment) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    hints = typing.get_type_hints(Experiment)
    for field in dataclasses.fields(exp):
        if field.name == "options":  # the library would convert "no" and "10" to other types
            continue
        value = getattr(exp, field.name)
        kind = type(value) if dataclasses.is_dataclass(value) else hints[field.name]
        parser.add_argument(f"--{field.name}", type=kind, default=value)
    return parser


def _build(parser: ArgumentParser, parsed: Any, options: dict[str, Any]) -> Experiment:
    made = parser.instantiate(parsed)
    names = [field.name for field in dataclasses.fields(Experiment) if field.name != "options"]
    return Experiment(options=options, **{name: getattr(made, name) for name in names})


def _options(arguments: Sequence[str], options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the task's options, changed by `--options JSON` and `--options.name VALUE`, and the
    other arguments.

    A value that is valid JSON is parsed; any other value is a text.

    Args:
        arguments: arguments of the command line.
        options: options before the change.

    Raises:
        UsageError: if `--options` is not a JSON object, or has no value.
    """
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name != "--options" and not name.startswith("--options."):
            others.append(argument)
            continue
        if not equals:
            value = next(rest, "")
        if name == "--options":
            try:
                options = json.loads(value)
            except json.JSONDecodeError as error:
                raise UsageError(f"--options '{value}' is not JSON: {error}") from error
            if not isinstance(options, dict):
                raise UsageError(f"--options '{value}' is not a JSON object like '{{\"a\": 1}}'")
        else:
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(value)
            options = {**options, name.removeprefix("--options."): value}
    return options, others


def change(exp: Experiment, arguments: Sequence[str]) -> Experiment:
    """Return an experiment with fields changed by `--dotted.name value` arguments.

    Raises:
        UsageError: if a field is unknown (the message has the nearest known name), a value has
            another type, or a changed field has no effect in the result.
    """
    if not arguments:
        return exp
    options, arguments = _options(arguments, exp.options)
    parser = _parser(exp)
    known = [name for name, _ in flat(exp)]
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        if argument.startswith("--") and name not in known and not _group(name, known):
            raise _unknown(name, known)
    try:
        changed = _build(parser, parser.parse_args(list(arguments)), options)
    except UsageError:
        raise
    except Exception as error:  # the library raises several kinds
        raise UsageError(f"{_sentence(error)}; see 'lmrl train PRESET --fields'") from error
    check_used(exp, changed)
    return changed


def _group(name: str, known: list[str]) -> bool:
    return any(full.startswith(f"{name}.") for full in known)


def _unknown(name: str, known: list[str]) -> UsageError:
    # First try a field that is nested deeper (--learner.lr for --learner.optimiser.lr), then a
    # similar name.
    group, _, leaf = name.rpartition(".")
    near = [full for full in known if full.startswith(group) and full.rpartition(".")[2] == leaf]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '--{near[0]}'?" if near else ""
    return UsageError(
        f"field '--{name}' is unknown{hint or ';'} 'lmrl train PRESET --fields' lists all"
    )


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def read_config(path: Path, base: Experiment | None = None) -> Experiment:
    """Return the experiment of a JSON file.

    Args:
        path: config.json of a run, or a file with some of its fields.
        base: experiment whose fields the file changes; None takes task and algorithm from the file.

    Raises:
        UsageError: if the file is missing or not JSON, has fields that do not exist, or changes a
            field of `base` that has no effect in the result.
    """
    try:
        plain = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a configuration: {error}") from error
    if not isinstance(plain, dict):
        raise UsageError(f"{path} does not hold a JSON object with fields of an experiment")
    plain.pop("provenance", None)
    partial = base is not None
    algorithm = dict(plain.get("algorithm", {}))
    name = algorithm.pop("name", as_json(base.algorithm)["name"] if base else "")
    if base is None:
        base = Experiment(task=str(plain.get("task", "")), algorithm=algorithm_class(str(name))())
    elif name != as_json(base.algorithm)["name"]:
        raise UsageError(
            f"{path} configures the algorithm '{name}', the preset trains '{base.algorithm.name}'; "
            "choose a preset with that algorithm"
        )
    if algorithm:
        plain["algorithm"] = algorithm
    options = plain.pop("options", base.options)
    if not isinstance(options, dict):
        raise UsageError(f"{path}: options is {options!r}; give a JSON object")
    parser = _parser(base)
    try:
        changed = _build(parser, parser.parse_object(plain), options)
    except UsageError:
        raise
    except Exception as error:  # the library raises several kinds
        raise UsageError(f"{path}: {_sentence(error)}") from error
    if partial:
        check_used(base, changed)
    return changed


def recorded(checkpoint: Path) -> Experiment | None:
    """Return the experiment that made a checkpoint; None if it is not recorded.

    The record is in the checkpoint. A start policy has none; then it is the configuration of the
    run directory in which the checkpoint lies.

    Raises:
        UsageError: if the record cannot be read.
    """
    folder = checkpoint.resolve()
    if (folder / RECORD).exists():
        return read_config(folder / RECORD)
    for home in folder.parents[:2]:
        if (home / MARKER).is_file() and (home / CONFIG).exists():
            return read_config(home / CONFIG)
    return None


def flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested dataclasses as (dotted name, value)."""
    leaves = []
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            leaves += flat(inner, f"{prefix}{field.name}.")
        else:
            leaves.append((prefix + field.name, inner))
    return leaves


def describe_fields(exp: Experiment) -> str:
    """Return every field with its value, one per line."""
    return "\n".join(f"--{name:<36} {value}" for name, value in flat(exp))
