"""Dialogues of your own, as JSON lines, become a data set for offline training.

    python examples/own_dialogues.py talks.jsonl data/talks
    lmrl train ilql --task examples.own_task:GuessNumber --data.path data/talks

A row is a conversation: what the other side said (`them`), the reply (`us`), and its reward:

    {"turns": [{"them": "guess:", "us": "50", "reward": -1}, ...], "end": "right"}

A task says how a policy is scored, so one is needed also where the data are recorded ones.
"""

import sys
from pathlib import Path

from lmrl.data.json_rows import Field, rows
from lmrl.data.store import write_new
from lmrl.trajectory import NO_FLOATS, NO_IDS, NO_SEED, TERMINATED, Trajectory, Turn

TASK = "examples.own_task:GuessNumber"


def episode(row: Field) -> Trajectory:
    """Return a conversation as an episode; the policy sees all of it at every turn."""
    said = row["turns"].items()
    return Trajectory(
        task=TASK,
        options={},
        seed=NO_SEED,
        turns=tuple(turn(field, 2 * number + 1) for number, field in enumerate(said)),
        ending=TERMINATED,
        final=row["end"].text() + "\n",
        final_ids=NO_IDS,
        final_span=2 * len(said) + 1,
        player="people",
    )


def turn(field: Field, span: int) -> Turn:
    """Return a turn without tokens: the learner encodes its texts."""
    them, us, reward = field["them"].text(), field["us"].text(), field["reward"].number()
    return Turn(f"{them}\n", NO_IDS, span, f"{us}\n", NO_IDS, NO_FLOATS, NO_IDS, reward)


def main(file: Path, folder: Path) -> None:
    """Write the data set."""
    number = write_new((episode(row) for row in rows(file)), folder)
    print(f"{number} episodes in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
