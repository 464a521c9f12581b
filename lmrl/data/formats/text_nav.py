"""Files of the two Text-Nav variants."""

from collections.abc import Iterator
from pathlib import Path

from lmrl.data.formats.episode import Reader, alternating, in_turn, only_last, trajectory
from lmrl.data.json_rows import rows
from lmrl.trajectory import Trajectory


def text_nav(task: str) -> Reader:
    """Return the reader of a Text-Nav variant; both have the same form.

    A row is `{"text_history", "rewards", "dones"}`, in one JSON array or a row a line. Texts are
    observations and commands in turn, the last one being an observation; the other lists have an
    entry for every command, and the last flag counts.
    """

    def read(file: Path) -> Iterator[Trajectory]:
        for row in rows(file):
            texts = row["text_history"].items()
            commands = len(texts) // 2
            each = f"one for each of the {commands} commands"
            rewards = row["rewards"].items(commands, each)
            dones = row["dones"].items(commands, each)
            turns, final = alternating(in_turn(texts, [r.number() for r in rewards]), row)
            yield trajectory(task, file, turns, final, only_last(dones), None)

    return read
