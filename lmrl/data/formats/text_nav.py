"""Files of the two Text-Nav variants."""

from collections.abc import Iterator
from pathlib import Path

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import (
    Reader,
    alternating,
    in_turn,
    of_task,
    only_last,
    solved,
    trajectory,
)
from lmrl.data.json_rows import Field, rows
from lmrl.trajectory import Trajectory


def text_nav(task: str) -> Reader:
    """Return the reader of a Text-Nav variant; both have the same form.

    A row is `{"text_history", "rewards", "dones"}`, in one JSON array or a row a line. Texts are
    observations and commands in turn, the last one being an observation; the other lists have an
    entry for every command, and the last flag counts.
    """

    def read(file: Path, bad: BadRows) -> Iterator[Trajectory]:
        def tour(row: Field) -> Trajectory:
            texts = row["text_history"].items()
            for text in texts[:1]:
                of_task(text, "Text-Nav")
            commands = len(texts) // 2
            each = f"one for each of the {commands} commands"
            rewards = row["rewards"].items(commands, each)
            dones = row["dones"].items(commands, each)
            turns, final = alternating(in_turn(texts, [r.number() for r in rewards]), row)
            done = only_last(dones)
            success = solved(done, turns[-1].reward, 1.0)
            return trajectory(task, file, turns, final, done, None, **success)

        yield from bad.each(rows(file, bad.skip), tour)

    return read
