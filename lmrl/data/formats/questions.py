"""Files of Twenty Questions and Guess My City."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import STOP, Item, Reader, alternating, trajectory
from lmrl.data.formats.wordle import sequence
from lmrl.data.json_rows import Field, rows
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.questions.recorded import conversation_is_over, conversation_texts, split_line
from lmrl.tasks.questions.replies import HEADER, TURNS, UNKNOWN, yes_or_no
from lmrl.tasks.twenty_questions import knowledge
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

    def read(file: Path, bad: BadRows) -> Iterator[Trajectory]:
        def asked(row: Field) -> Trajectory:
            if "sequence" in row:
                return sequence(row, task, file, HEADER)
            found = row["lines"].items()
            if not 1 <= len(found) <= TURNS:
                raise row["lines"].wrong(f"has {len(found)} entries, not 1 to {TURNS}")
            answers: list[str] = []
            for line in found:
                question, answer = split_line(line.text(), first)
                if not answer:
                    raise line.wrong("has no '? ' between a question and an answer")
                if STOP in question:
                    raise line.wrong("has a line break inside a question")
                answers.append(answer)
            if not first and len(answers) > 1 and {*map(yes_or_no, answers)} == {UNKNOWN}:
                raise row["lines"].wrong("has no answer that is yes or no: data of guess-my-city?")
            conversation = {"lines": row["lines"].value, "correct": row["correct"].flag()}
            texts = conversation_texts(conversation, first)
            turns, final = alternating([Item(*text) for text in texts], row)
            done = conversation_is_over(conversation)
            facts = {"success": conversation["correct"]}
            if "word" in row:
                facts["word"] = _word(row["word"], first)
            return trajectory(task, file, turns, final, done, None, **facts)

        yield from bad.each(rows(file, bad.skip), asked)

    return read


def _word(word: Field, city: bool) -> Any:
    """Return the hidden thing of a row.

    Raises:
        DataError: if it is one of the other game.
    """
    names = (
        [name.text() for name in word.items()] if isinstance(word.value, list) else [word.text()]
    )
    known = {True: cities().labels, False: knowledge().labels}
    here, there = ({label.lower() for label in known[side]} for side in (city, not city))
    first = names[0].lower().partition(",")[0] if names else ""
    if first in there and first not in here:
        other = "twenty-questions" if city else "guess-my-city"
        raise word.wrong(f"is {names[0][:40]!r}, a thing of {other}")
    return word.value
