"""What the readers of all formats share: from checked texts to an episode."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lmrl.data.bad_rows import BadRows
from lmrl.data.json_rows import Field
from lmrl.trajectory import (
    IMPORTED,
    NO_FLOATS,
    NO_IDS,
    NO_SEED,
    TERMINATED,
    TRUNCATED,
    Trajectory,
    Turn,
)

Reader = Callable[[Path, BadRows], Iterator[Trajectory]]
"""Reads the episodes of a file; raises DataError for a file of another form.

Rows that cannot be read are left to its second argument.
"""

STOP = "\n"
"""Stop text at the end of every action."""

PLAYER = "published"
"""Player of imported episodes."""

OPTIONS: dict[str, dict[str, Any]] = {
    # Recorded answers are free text, as ours are; the published environment answers yes or no.
    "guess-my-city": {},
}
"""Options of a task's published data; tasks without an entry have `faithful=True`."""


class Item(NamedTuple):
    """A text of an episode, whether it is an action, and its reward."""

    text: str
    is_action: bool
    reward: float = 0.0


class Played(NamedTuple):
    """A turn: the observation before the action, the action, and its reward."""

    observation: str
    action: str
    reward: float


def trajectory(
    task: str,
    file: Path,
    turns: Iterable[Played],
    final: str,
    done: bool,
    window: int | None,
    **info: Any,
) -> Trajectory:
    """Return an episode; `info` are facts that the file tells beside its texts.

    Args:
        task: name of the task.
        file: file that was read.
        turns: turns in order.
        final: observation after the last action; empty if it is unknown.
        done: whether the episode ended by the rules.
        window: number of newest items that the policy sees; None for all.
    """
    turns = list(turns)

    def span(number: int) -> int:
        return 2 * number + 1 if window is None else min(2 * number + 1, window)

    return Trajectory(
        task=task,
        options=OPTIONS.get(task, {"faithful": True}),
        seed=NO_SEED,
        turns=tuple(
            Turn(said, NO_IDS, span(number), action, NO_IDS, NO_FLOATS, NO_IDS, reward)
            for number, (said, action, reward) in enumerate(turns)
        ),
        ending=TERMINATED if done else TRUNCATED,
        final=final,
        final_ids=NO_IDS,
        final_span=span(len(turns)),
        player=PLAYER,
        info={**info, IMPORTED: file.name},
    )


_SHAPES = {
    "a maze": re.compile(r"There (is a wall|are walls|are no walls) "),
    "Text-Nav": re.compile(r"Admissible commands:|TextWorld!|^\s*Your objective is"),
    "chess": re.compile(r"[pnbrqkPNBRQK1-8 ]+(/[pnbrqkPNBRQK1-8 ]+){7}"),
    "Wordle": re.compile(r"^Wordle:"),
    "a guessing game": re.compile(r"^Questions:"),
}
"""What the texts of tasks look like."""


def of_task(text: Field, own: str) -> str:
    """Return an observation that is none of another task.

    Args:
        text: observation.
        own: the task that it has to be of, a key of `_SHAPES`.

    Raises:
        DataError: if it looks like one of another task.
    """
    said = text.text()
    for other, shape in _SHAPES.items():
        if other != own and shape.search(said):
            raise text.wrong(f"is an observation of {other}, not of {own}: {said.strip()[:40]!r}")
    return said


def action(field: Field) -> str:
    """Return a text as an action: with the stop text at its end, and nowhere else.

    Raises:
        DataError: for a stop text inside the action, where a policy would have stopped.
    """
    text = field.text().removesuffix(STOP)
    if STOP in text:
        raise field.wrong("has a line break inside an action")
    return text + STOP


def alternating(items: Iterable[Item], row: Field) -> tuple[list[Played], str]:
    """Return the turns of a list of texts, and the observation after the last action.

    Consecutive observations are joined to one.

    Raises:
        DataError: if the first text is an action, if one action follows another, or if there is
            no action.
    """
    turns: list[Played] = []
    seen: list[str] = []
    for number, item in enumerate(items):
        if not item.is_action:
            seen.append(item.text)
            continue
        if not seen:
            before = "nothing" if number == 0 else "another action"
            raise row.wrong(f"text {number + 1} is an action after {before}")
        turns.append(Played("".join(seen), item.text, item.reward))
        seen = []
    if not turns:
        raise row.wrong("has no action")
    if not turns[0].observation:
        raise row.wrong("begins with an empty observation")
    return turns, "".join(seen)


def only_last(flags: list[Field]) -> bool:
    """Return the last of some flags, of which no earlier one may be set.

    Raises:
        DataError: if an earlier one is set.
    """
    for flag in flags[:-1]:
        if flag.flag():
            raise flag.wrong("is true, but the episode goes on")
    return flags[-1].flag()


def unrewarded(field: Field) -> None:
    """Check a reward that belongs to an observation.

    Raises:
        DataError: if it is not 0.
    """
    if field.number() != 0:
        raise field.wrong(f"is {field.value}, but belongs to an observation; only actions earn")


def states(
    row: Field, task: str, file: Path, said: Callable[[Field], Played], goal: float
) -> Trajectory:
    """Return an episode from a list of `{"state", "action", "reward", "done"}`.

    Args:
        row: the list.
        task: name of the task.
        file: file that is read.
        said: returns the turn of a step.
        goal: reward that only success earns.

    Raises:
        DataError: if the row has another form.
    """
    steps = row.items()
    if not steps:
        raise row.wrong("is an empty list")
    done = only_last([step["done"] for step in steps])
    turns = [said(step) for step in steps]
    final = "" if done else turns[-1].observation
    return trajectory(task, file, turns, final, done, 1, **solved(done, turns[-1].reward, goal))


def solved(done: bool, last: float, goal: float | None) -> dict[str, Any]:
    """Return whether an episode was a success, as a fact; nothing if that is unknown.

    Args:
        done: whether it ended by the rules.
        last: reward of its last action.
        goal: reward that only success earns; None if there is none.
    """
    return {} if goal is None else {"success": done and last == goal}


def in_turn(texts: list[Field], rewards: list[float]) -> list[Item]:
    """Return texts of which every second one is an action with the next of the rewards."""
    return [
        Item(action(text), True, rewards[i // 2]) if i % 2 else Item(text.text(), False)
        for i, text in enumerate(texts)
    ]
