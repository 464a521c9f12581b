"""Change the fields of an `Experiment` from the command line or a file, checked by their types."""

import dataclasses
import json
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.experiment import Experiment
from learners.algorithms.registry import algorithm_class, as_json
from lmrl.errors import UsageError, nearest, option
from lmrl.fields.typed import Mismatch, convert, read, reject
from lmrl.limits import check_used
from lmrl.runs.names import CONFIG, MARKER, RECORD
from lmrl.tasks.options import read_options

OPTIONS, START = "options", "start"
"""Beginnings of the names of the task's options, and of fields of the start policy's training."""

Tree = dict[str, Any]
"""New values of fields by name; those of a nested config are a tree of their own."""


def change(exp: Experiment, given: Sequence[tuple[str, str]]) -> Experiment:
    """Return an experiment with changed fields.

    Args:
        exp: experiment before the change.
        given: dotted names of fields, and the texts of their new values; see `lmrl.fields.typed`.

    Raises:
        UsageError: if a field is unknown (the message has the nearest known name), a value has
            another type, or a changed field has no effect in the result.
    """
    if not given:
        return exp
    tree: Tree = {}
    texts = []
    start = dict(exp.start_fields)
    for name, text in given:
        group, _, rest = name.partition(".")
        if group == OPTIONS and rest:
            texts.append((rest, text))
        elif group == START and rest:
            start[rest] = _json(text)
        else:
            _place(exp, tree, name, text)
    changed = apply(exp, tree)
    if OPTIONS in tree or texts:
        whole = {} if OPTIONS in tree else changed.options
        found = read_options(changed.task, tree.get(OPTIONS, {}), texts)
        changed = dataclasses.replace(changed, options={**whole, **found})
    changed = dataclasses.replace(changed, start_fields=start)
    check_used(exp, changed)
    return changed


def task_of(
    given: Sequence[tuple[str, str]],
) -> tuple[str | None, dict[str, Any], list[tuple[str, str]]]:
    """Return the task and its options among fields, and the other fields.

    Args:
        given: dotted names of fields, and the texts of their values.

    Returns:
        Name of the task, None if it is not among the fields; its options; the other fields.

    Raises:
        UsageError: if the task or an option is unknown, or a value has another type.
    """
    task: str | None = None
    whole: dict[str, Any] = {}
    texts, others = [], []
    for name, text in given:
        if name == "task":
            task = text
        elif name == OPTIONS:
            whole = _object(name, text)
        elif name.startswith(f"{OPTIONS}."):
            texts.append((name.removeprefix(f"{OPTIONS}."), text))
        else:
            others.append((name, text))
    return task, {} if task is None else read_options(task, whole, texts), others


def assign(exp: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Return an experiment with other values of some fields.

    Args:
        exp: experiment before the change.
        values: dotted names of fields, and values: texts of a command line, or JSON values.

    Raises:
        UsageError: as `change` does.
    """
    return change(
        exp,
        [
            (name, value if isinstance(value, str) else json.dumps(value, default=str))
            for name, value in values.items()
        ],
    )


def _place(exp: Experiment, tree: Tree, name: str, text: str) -> None:
    """Put the value of a field into a tree of changes, or all values of a group given as JSON."""
    known = [known for known, _ in flat(exp)]
    value: Any = exp
    *groups, leaf = name.split(".")
    for group in groups:
        value = getattr(value, group, None) if dataclasses.is_dataclass(value) else None
        tree = tree.setdefault(group, {})
    hints = hints_of(type(value)) if dataclasses.is_dataclass(value) else {}
    if leaf not in hints:
        raise _unknown(name, known)
    inner = getattr(value, leaf)
    if dataclasses.is_dataclass(inner):
        tree.setdefault(leaf, {}).update(_tree(inner, _object(name, text), f"{name}."))
        return
    try:
        tree[leaf] = read(text, hints[leaf])
    except Mismatch as error:
        raise reject(name, text, f"{error}; see 'lmrl train PRESET --fields'") from error


def _json(text: str) -> Any:
    """Return the JSON value of a text, or the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _object(name: str, text: str) -> dict[str, Any]:
    found = _json(text)
    if not isinstance(found, dict):
        raise reject(name, text, f"it is a group: give a field, like {option(name)}.NAME, or JSON")
    return found


def _tree(value: Any, plain: Mapping[str, Any], prefix: str) -> Tree:
    """Return the changes that JSON values of some fields make.

    Args:
        value: dataclass with the fields.
        plain: JSON values by field; those of a nested config are an object.
        prefix: beginning of the names, for messages.
    """
    hints, tree = hints_of(type(value)), {}
    for name, item in plain.items():
        if name not in hints:
            raise _unknown(prefix + name, [prefix + known for known in hints])
        inner = getattr(value, name)
        if dataclasses.is_dataclass(inner):
            if not isinstance(item, Mapping):
                raise reject(prefix + name, item, "give an object with its fields")
            tree[name] = _tree(inner, item, f"{prefix}{name}.")
            continue
        try:
            tree[name] = convert(item, hints[name])
        except Mismatch as error:
            raise reject(prefix + name, item, str(error)) from error
    return tree


def apply(value: Any, tree: Tree) -> Any:
    """Return a dataclass with the changes of a tree."""
    changes = {
        name: apply(getattr(value, name), new)
        if dataclasses.is_dataclass(getattr(value, name))
        else new
        for name, new in tree.items()
    }
    return dataclasses.replace(value, **changes)


def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name, with their annotations."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _unknown(name: str, known: Sequence[str]) -> UsageError:
    # First try a field that is nested deeper (--learner.lr for --learner.optimiser.lr), then a
    # similar name.
    group, _, leaf = name.rpartition(".")
    deeper = [full for full in known if full.startswith(group) and full.rpartition(".")[2] == leaf]
    if deeper:
        hint = f"; did you mean '{option(deeper[0])}'?"
    else:
        hint = nearest(option(name), map(option, known))
    return UsageError(
        f"field '{option(name)}' is unknown{hint or ';'} 'lmrl train PRESET --fields' lists all"
    )


def read_config(path: Path, base: Experiment | None = None) -> Experiment:
    """Return the experiment of a JSON or TOML file.

    Args:
        path: config.json of a run, or a file with some of its fields.
        base: experiment whose fields the file changes; None takes task and algorithm from the file.

    Raises:
        UsageError: if the file is missing or cannot be read, has fields that do not exist, or
            changes a field of `base` that has no effect in the result.
    """
    plain = _file(path)
    plain.pop("provenance", None)
    partial = base is not None
    algorithm = plain.pop("algorithm", {})
    if not isinstance(algorithm, dict):
        raise UsageError(f"{path}: algorithm is {algorithm!r}; give an object with its name")
    name = algorithm.pop("name", as_json(base.algorithm)["name"] if base else "")
    try:
        if base is None:
            base = Experiment(str(plain.get("task", "")), algorithm_class(str(name))())
        elif name != as_json(base.algorithm)["name"]:
            raise UsageError(
                f"the file configures the algorithm '{name}', and the preset trains "
                f"'{base.algorithm.name}'; choose a preset with that algorithm"
            )
        changed: Experiment = apply(base, _tree(base, {**plain, "algorithm": algorithm}, ""))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    if partial:
        check_used(base, changed)
    return changed


def _file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        plain = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a configuration: {error}") from error
    if not isinstance(plain, dict):
        raise UsageError(f"{path} does not hold a JSON object with fields of an experiment")
    return plain


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
