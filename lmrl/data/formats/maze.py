"""Files of the two mazes."""

from collections.abc import Iterator
from pathlib import Path

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import (
    Played,
    action,
    alternating,
    in_turn,
    of_task,
    only_last,
    solved,
    states,
    trajectory,
    unrewarded,
)
from lmrl.data.json_rows import Field, lines, rows
from lmrl.trajectory import Trajectory

WINDOW = 40
"""Newest texts that the policy sees in the partially observed maze."""


def maze_fo(file: Path, bad: BadRows) -> Iterator[Trajectory]:
    """Read the fully observed maze: a line is a list of `{"state", "action", "reward", "done"}`."""

    def said(step: Field) -> Played:
        state = of_task(step["state"], "a maze")
        if not state:
            raise step["state"].wrong("is empty")
        return Played(state, action(step["action"]), step["reward"].number())

    yield from bad.each(lines(file, bad.skip), lambda row: states(row, "maze-fo", file, said, 0.0))


def maze_po(file: Path, bad: BadRows) -> Iterator[Trajectory]:
    """Read the partially observed maze: `{"text_history", "rewards", "dones"}`.

    Texts are observations and actions in turn; both other lists have an entry for every text, of
    which those of actions count.
    """

    def walk(row: Field) -> Trajectory:
        texts = row["text_history"].items()
        for text in texts[:1]:
            of_task(text, "a maze")
        all_texts = f"one for each of the {len(texts)} texts"
        rewards = row["rewards"].items(len(texts), all_texts)
        dones = row["dones"].items(len(texts), all_texts)
        for reward in rewards[::2]:
            unrewarded(reward)
        turns, final = alternating(in_turn(texts, [r.number() for r in rewards[1::2]]), row)
        # A flag may sit on the last action, or on the observation that it led to.
        done = only_last(dones[1::2])
        done |= len(texts) % 2 == 1 and dones[-1].flag()
        success = solved(done, turns[-1].reward, 0.0)
        return trajectory("maze-po", file, turns, final, done, WINDOW, **success)

    yield from bad.each(rows(file, bad.skip), walk)
