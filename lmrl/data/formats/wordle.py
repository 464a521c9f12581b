"""Files of Wordle, and files of other tasks that were converted to the same form."""

from collections.abc import Iterator
from pathlib import Path

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import Item, action, alternating, solved, trajectory, unrewarded
from lmrl.data.json_rows import Field, rows
from lmrl.tasks.wordle.environment import HEADER
from lmrl.trajectory import Trajectory


def sequence(row: Field, task: str, file: Path, header: str) -> Trajectory:
    """Return an episode from `{"sequence": [[text, is it an action], ...], "reward", "done"}`.

    The list of rewards lacks the first text's, which is 0; a list that has it is read too.

    Raises:
        DataError: if the row has another form.
    """
    pairs = row["sequence"].items()
    if not pairs or pairs[0].items(2, "a text, and whether it is an action")[0].value != header:
        raise row["sequence"].wrong(f"does not begin with {header!r}, so it is no {task} data")
    rewards = row["reward"].items()
    if len(rewards) != len(pairs):
        rewards = row["reward"].items(len(pairs) - 1, "one for each text but the first")
        rewards = [Field(0.0, row.where), *rewards]
    items = []
    for pair, reward in zip(pairs, rewards, strict=True):
        text, is_action = pair.items(2, "a text, and whether it is an action")
        if is_action.flag():
            items.append(Item(action(text), True, reward.number()))
        else:
            unrewarded(reward)
            items.append(Item(text.text(), False))
    turns, final = alternating(items, row["sequence"])
    done = row["done"].flag()
    success = solved(done, turns[-1].reward, 0.0)
    return trajectory(task, file, turns, final, done, None, **success)


def wordle(file: Path, bad: BadRows) -> Iterator[Trajectory]:
    """Read Wordle: see `sequence`."""
    yield from bad.each(rows(file, bad.skip), lambda row: sequence(row, "wordle", file, HEADER))
