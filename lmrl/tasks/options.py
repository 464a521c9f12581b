"""Options of tasks: their types, defaults and texts, and their values from a command line."""

import inspect
import json
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from lmrl.errors import UsageError, unknown
from lmrl.fields.attributes import entries
from lmrl.fields.typed import Mismatch, convert, expected, read, reject
from lmrl.limits import check_range
from lmrl.tasks import named_arguments, task_class
from lmrl.tasks.wording import OPTION as WORDING


class TaskOption(NamedTuple):
    """An option of a task.

    Attributes:
        name: name of the option.
        hint: type of its values; `Any` if the task does not annotate it.
        default: value if the option is not given.
        text: description from the docstring of the task's class; empty without one.
    """

    name: str
    hint: Any
    default: Any
    text: str

    @property
    def takes(self) -> str:
        """Words for the values that it takes."""
        return expected(self.hint)


def options_of(task: str) -> dict[str, TaskOption]:
    """Return the options of a task by name, without the one for whoever answers.

    Args:
        task: name of a known task, or `module:Class` of any other.

    Raises:
        UsageError: if the task is unknown.
    """
    kind, variant = task_class(task)
    texts = entries(kind)
    try:
        hints = typing.get_type_hints(kind.__init__, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    named = named_arguments(task)
    found = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if (
            name in named
            or name == kind.oracle_option
            or parameter.kind
            in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            )
        ):
            continue
        default = variant.get(name, parameter.default)
        default = None if default is parameter.empty else default
        found[name] = TaskOption(name, hints.get(name, Any), default, texts.get(name, ""))
    if WORDING not in found and kind.wordings:
        # A literal of names that are known only now, which a type checker cannot read.
        names = typing.Literal[tuple(kind.wordings)]  # type: ignore[valid-type]
        text = "other words for the task's observations, for the robustness suite"
        found[WORDING] = TaskOption(WORDING, names | None, None, text)
    return found


def read_options(
    task: str, given: Mapping[str, Any], texts: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return options of a task as values of their types.

    Args:
        task: name of the task.
        given: options as JSON values.
        texts: names and texts of a command line; they come on top.

    Raises:
        UsageError: if the task or an option is unknown, or a value has another type.
    """
    known = options_of(task)
    result = {}
    for name, value in given.items():
        result[name] = _checked(task, name, value, known, from_text=False)
    for name, text in texts:
        result[name] = _checked(task, name, text, known, from_text=True)
    return result


def _checked(
    task: str, name: str, value: Any, known: Mapping[str, TaskOption], from_text: bool
) -> Any:
    if name not in known:
        if name == task_class(task)[0].oracle_option:
            raise UsageError(f"--options.{name} cannot be given; give the model with --oracle")
        raise unknown(f"option of task {task}:", name, known)
    option = known[name]
    if option.hint is Any:
        if from_text:
            with suppress(json.JSONDecodeError):
                return json.loads(value)
        return value
    try:
        found = read(value, option.hint) if from_text else convert(value, option.hint)
    except Mismatch as error:
        raise reject(f"options.{name}", value, str(error)) from error
    check_range(f"options.{name}", found, getattr(option.hint, "__metadata__", ()))
    # As JSON has it, so that a run records what replay gets.
    return list(found) if isinstance(found, tuple) else found
