"""Logged dialogues: messages as chat models and their APIs write them, with rewards."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import Item, Reader, alternating, trajectory
from lmrl.data.json_rows import Field, rows
from lmrl.env import TextEnv
from lmrl.trajectory import Trajectory

RULES = ("system", "developer")
"""Roles of messages that hold rules; they are kept as a fact."""
OTHERS = ("user", "tool")
"""Roles whose messages are observations."""
PLAYER = "logged"
"""Player of the episodes."""
POLICY = "assistant"
"""Role whose messages are actions."""


def chat(task: str, env: TextEnv) -> Reader:
    """Return the reader of logged dialogues.

    A row is `{"messages": [{"role", "content", "reward"}, ...]}`, one a line or in a JSON array.
    Messages of `user` and `tool` are observations, those of `assistant` actions; `system` is kept
    in `info`. A message of `assistant` may have a `reward`; or the row has `rewards`, one for each
    of them, or `reward`, which belongs to the last one. `ending` may be `truncated`, and `info` an
    object of facts. Observations get the stop text of the task at their end, as actions do, unless
    the row says that its texts are `exact`.

    Args:
        task: name of the task that the episodes get.
        env: that task; it says how an action ends and how much of an episode a policy sees.
    """
    stop = env.stop

    def line(content: Field) -> str:
        return content.text().removesuffix(stop) + stop

    def action(content: Field) -> str:
        text = line(content)
        if stop and stop in text.removesuffix(stop):
            raise content.wrong(f"has {stop!r} inside, where a policy of {task} would have stopped")
        return text

    def talk(row: Field) -> Trajectory:
        items, facts = [], dict[str, Any]()
        messages = row["messages"].items()
        rewards = _rewards(row, messages)
        exact = "exact" in row and row["exact"].flag()
        for message in messages:
            role = message["role"].text()
            if role == POLICY:
                items.append(Item(action(message["content"]), True, next(rewards)))
            elif role in OTHERS:
                content = message["content"]
                items.append(Item(content.text() if exact else line(content), False))
            elif role in RULES and not items:
                facts["system"] = message["content"].text()
            else:
                known = ", ".join((POLICY, *OTHERS))
                raise message["role"].wrong(f"is {role[:40]!r}, not {known}, or system at first")
        turns, final = alternating(items, row["messages"])
        done = True
        if "ending" in row:
            ending = row["ending"].text()
            if ending not in ("terminated", "truncated"):
                raise row["ending"].wrong(f"is {ending[:40]!r}, not 'terminated' or 'truncated'")
            done = ending == "terminated"
        if "info" in row:
            if not isinstance(row["info"].value, dict):
                raise row["info"].wrong("is no object")
            facts |= row["info"].value
        options = row["options"].value if "options" in row else {}
        if not isinstance(options, dict):
            raise row["options"].wrong("is no object")
        source = Path(row.where.rpartition(": row ")[0])
        made = trajectory(task, source, turns, final, done, env.window, **facts)
        return replace(made, options=options, player=PLAYER)

    def read(file: Path, bad: BadRows) -> Iterator[Trajectory]:
        yield from bad.each(rows(file, bad.skip), talk)

    return read


def _rewards(row: Field, messages: list[Field]) -> Iterator[float]:
    """Return the rewards of the actions, in order.

    Raises:
        DataError: if there are several kinds of rewards, or not one for each action.
    """
    said = [m for m in messages if isinstance(m.value, dict) and m.value.get("role") == POLICY]
    given = [name for name in ("rewards", "reward") if name in row]
    own = any("reward" in message for message in messages)
    if len(given) + own > 1:
        raise row.wrong("has rewards at several places; give them once")
    if "rewards" in row:
        count = f"one for each message of {POLICY}"
        return iter([reward.number() for reward in row["rewards"].items(len(said), count)])
    if "reward" in row:
        return iter([0.0] * (len(said) - 1) + [row["reward"].number()])
    for message in messages:
        if "reward" in message and message["role"].text() != POLICY:
            raise message["reward"].wrong(f"belongs to a message of {message['role'].text()!r}")
    return iter([m["reward"].number() if "reward" in m else 0.0 for m in said])
