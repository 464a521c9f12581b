"""Files of Twenty Questions and Guess My City."""

from collections.abc import Iterator
from pathlib import Path

from lmrl.data.formats.episode import STOP, Item, Reader, alternating, trajectory
from lmrl.data.formats.wordle import sequence
from lmrl.data.json_rows import rows
from lmrl.tasks.questions.recorded import conversation_is_over, conversation_texts, split_line
from lmrl.tasks.questions.replies import HEADER, TURNS
from lmrl.trajectory import Trajectory


def questions(task: str, first: bool) -> Reader:
    """Return the reader of Twenty Questions or Guess My City.

    A row of the JSON array is `{"lines": ["Is it big? Yes.", ...], "correct", "word"}`. A line is
    split into question and answer at the last `? `, or at the first where answers are free text.
    The last question of a `correct` episode earns 0, every other one -1; one with fewer than 20
    questions that is not correct is truncated. Files converted to the form of `sequence` are read
    too.

    Args:
        task: name.
        first: whether to split at the first `? `.
    """

    def read(file: Path) -> Iterator[Trajectory]:
        for row in rows(file):
            if "sequence" in row:
                yield sequence(row, task, file, HEADER)
                continue
            found = row["lines"].items()
            if not 1 <= len(found) <= TURNS:
                raise row["lines"].wrong(f"has {len(found)} entries, not 1 to {TURNS}")
            for line in found:
                question, answer = split_line(line.text(), first)
                if not answer:
                    raise line.wrong("has no '? ' between a question and an answer")
                if STOP in question:
                    raise line.wrong("has a line break inside a question")
            conversation = {"lines": row["lines"].value, "correct": row["correct"].flag()}
            texts = conversation_texts(conversation, first)
            turns, final = alternating([Item(*text) for text in texts], row)
            done = conversation_is_over(conversation)
            yield trajectory(task, file, turns, final, done, None)

    return read
