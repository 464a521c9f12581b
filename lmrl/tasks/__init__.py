"""Which tasks exist.

A new task is a file or a package and one line here, or an entry point of the group `lmrl.tasks` in
another distribution (`name = "module:Class"`).
"""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from lmrl.env import TextEnv
from lmrl.errors import UsageError, unknown
from lmrl.tasks.wording import OPTION, Worded
from lmrl.trajectory import printable

ELSEWHERE = {
    "gym": "lmrl.adapters.from_gymnasium:GymTask",
    "openenv": "lmrl.adapters.from_openenv:OpenEnvTask",
    "textarena": "lmrl.adapters.from_textarena:TextArenaTask",
}
"""Beginnings of the names of environments of other libraries, and the classes that wrap them."""

START = "start"
"""Key of an episode's own options among the options in its record."""

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "car-dealer": ("lmrl.tasks.car_dealer:CarDealer", {}),
    "chess": ("lmrl.tasks.chess:Chess", {"positions": "initial"}),
    "endgames": ("lmrl.tasks.chess:Chess", {"positions": "endgames"}),
    "guess-my-city": ("lmrl.tasks.guess_my_city:GuessMyCity", {}),
    "maze-fo": ("lmrl.tasks.maze:Maze", {"observation": "position", "last_k": 1}),
    "maze-po": ("lmrl.tasks.maze:Maze", {"observation": "walls", "last_k": 40}),
    "text-nav-fo": ("lmrl.tasks.text_nav:TextNav", {"observation": "full"}),
    "text-nav-po": ("lmrl.tasks.text_nav:TextNav", {"observation": "partial"}),
    "twenty-questions": ("lmrl.tasks.twenty_questions:TwentyQuestions", {}),
    "wordle": ("lmrl.tasks.wordle:Wordle", {}),
}
"""Name -> (class, the arguments that make the variant)."""


@cache
def known() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return every task: ours and those that installed distributions offer."""
    from importlib.metadata import entry_points  # takes 20 ms

    others: dict[str, tuple[str, dict[str, Any]]] = {
        e.name: (e.value, {}) for e in entry_points(group="lmrl.tasks")
    }
    return {**others, **TASKS}


def task_class(name: str) -> tuple[type[TextEnv], dict[str, Any]]:
    """Return the class of a task, and the arguments that make the variant of this name.

    Args:
        name: name of a known task, `module:Class` of any other, `gym:ID` of an environment of
            Gymnasium, or several names with weights (`lmrl.tasks.several`).

    Raises:
        UsageError: if the name is unknown, or the class is missing or not a `TextEnv`.
    """
    path, variant = _found(name)
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"task '{name}' cannot be imported: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, TextEnv)):
        raise UsageError(
            f"task '{name}' is not a lmrl.env.TextEnv; derive its class from that one, and give "
            "module:Class"
        )
    return found, variant


def from_elsewhere(name: str) -> bool:
    """Return whether a name imports code that is not this project's: `module:Class` or `gym:ID`.

    Args:
        name: name of a task, or of several with weights.
    """
    parts = name.split()
    if len(parts) > 1:
        parts = [part.rpartition(":")[0] for part in parts]
    return any(":" in part for part in parts)


def check_trusted(name: str, source: str, load: bool) -> None:
    """Refuse a task of a file that would import code that is not this project's.

    Args:
        name: name of the task.
        source: what names it, for the message.
        load: whether such code may be imported.

    Raises:
        UsageError: if it may not.
    """
    if from_elsewhere(name) and not load:
        raise UsageError(
            f"{source} names the task '{printable(name)}', whose code would be imported; give "
            "--load-tasks if you trust it"
        )


def _found(name: str) -> tuple[str, dict[str, Any]]:
    """Return `module:Class` of a task, and the arguments that make the variant of this name."""
    if len(name.split()) > 1:
        from lmrl.tasks.several import weights

        return "lmrl.tasks.several:Several", {"tasks": weights(name)}
    kind, _, rest = name.partition(":")
    if rest and kind in ELSEWHERE:
        return ELSEWHERE[kind], {"id": rest}
    if ":" in name:
        return name, {}
    if name not in known():
        raise unknown("task", name, known())
    return known()[name]


def named_arguments(name: str) -> dict[str, Any]:
    """Return the arguments that a name itself gives, like the `id` of `gym:ID`.

    They are no options. Those of a variant of ours may be changed.
    """
    return {} if name in known() else _found(name)[1]


def make(name: str, **options: Any) -> TextEnv:
    """Return the environment of task `name`, for example `make("maze-po", faithful=True)`.

    Args:
        name: name of a known task, or `module:Class` of any other.
        options: options of the task; `wording` also, where the task has other wordings.

    Raises:
        UsageError: for an unknown task or an option that the task does not have.
    """
    cls, variant = task_class(name)
    named = named_arguments(name)
    allowed = [key for key in inspect.signature(cls).parameters if key not in named]
    # A task may have an option of this name itself; then it is not ours.
    wording = None if OPTION in allowed else options.pop(OPTION, None)
    for option in options:
        if option not in allowed:
            raise unknown(f"option of task {name}:", option, [*allowed, OPTION])
    try:
        env: TextEnv = cls(**{**variant, **options})
    except TypeError as error:
        raise UsageError(f"task {name} does not take options {options}: {error}") from error
    return env if wording is None else Worded(env, name, wording)


def instructions_of(name: str, options: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """Return the rules of a stored episode, for a model that reads them.

    Args:
        name: name of the task, or `module:Class`.
        options: options of the task, as the episode records them.
        info: facts of the episode's last step.
    """
    own = {key: value for key, value in options.items() if key != START}
    return _made(name, json.dumps(own, sort_keys=True)).instructions_of(info)


@cache
def _made(name: str, options: str) -> TextEnv:
    return make(name, **json.loads(options))


def make_answered(name: str, options: Mapping[str, Any], answer: Callable[[str], str]) -> TextEnv:
    """Return a task in which somebody else than its scripted oracle answers.

    Whoever answers does not become a part of `options`: the record of an episode names them in its
    info, and its options stay JSON values.

    Args:
        name: name of a task with an `oracle_option`.
        options: options of the task.
        answer: oracle or buyer of the task, from a prompt to a reply.
    """
    return make(name, **options, **{make(name, **options).oracle_option: answer})
