"""The word list of Wordle, the marks of a guess, and which words fit them."""

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from lmrl.errors import UsageError
from lmrl.tasks.assets import FOLDER

FIVE_LETTERS = re.compile("[a-z]{5}")
DEFAULT_VOCABULARY = FOLDER / "wordle.txt"
UNSEEN_WORDS = FOLDER / "wordle_unseen.txt"


def published_feedback(guess: str, answer: str) -> str:
    """Return a letter of `g`, `y`, `b` for each letter; repeated letters are not counted."""
    return "".join(
        "g" if said == hidden else "y" if said in answer else "b"
        for said, hidden in zip(guess, answer, strict=True)
    )


def newspaper_feedback(guess: str, answer: str) -> str:
    """Return the same, but mark no letter more often than `answer` has it; greens come first."""
    pairs = list(zip(guess, answer, strict=True))
    spare = [hidden for said, hidden in pairs if said != hidden]
    marks = ""
    for said, hidden in pairs:
        if said == hidden:
            marks += "g"
        elif said in spare:
            spare.remove(said)
            marks += "y"
        else:
            marks += "b"
    return marks


FEEDBACK: dict[str, Callable[[str, str], str]] = {
    "published": published_feedback,
    "newspaper": newspaper_feedback,
}
"""Feedback rules of (guess, answer) by name."""
_CODES = {"".join(marks): code for code, marks in enumerate(product("byg", repeat=5))}


def said(guess: str) -> str:
    """Return a guess as an action."""
    return " ".join(guess) + "\n"


def _listed(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"wordle option vocab: {path!r} cannot be read: {error}") from error
    found = (line.strip() for line in lines)
    words = list(dict.fromkeys(word for word in found if FIVE_LETTERS.fullmatch(word)))
    if not words:
        raise UsageError(
            f"wordle option vocab: {path!r} has no five-letter word in lower case; give a file "
            "with one word a line"
        )
    return words


class Vocabulary:
    """A word list with a feedback rule, and all that follows from the two, computed when asked.

    It is the same for every episode and never changes, so an environment pickles as the name of its
    vocabulary alone.

    Args:
        path: path of the word list.
        rule: name of the feedback rule in `FEEDBACK`.
        answers: path of a second list, whose words are guesses too and alone are hidden; empty
            if the first list's words are hidden.
        count: number of words of the list in use, at equal distances; None is all.
    """

    def __init__(self, path: str, rule: str, answers: str = "", count: int | None = None) -> None:
        self.path, self.rule, self.extra, self.count = path, rule, answers, count
        self.feedback = FEEDBACK[rule]
        listed = _listed(path)
        if count is not None:
            if not 1 <= count <= len(listed):
                raise UsageError(
                    f"wordle option words is {count}; {path!r} has 1 to {len(listed)} to choose"
                )
            listed = [listed[i * len(listed) // count] for i in range(count)]
        self.answers = [w for w in _listed(answers) if w not in listed] if answers else listed
        if not self.answers:
            raise UsageError(f"wordle option vocab: {path!r} has every unseen word; give another")
        self.words = list(dict.fromkeys(listed + self.answers))
        self.known = frozenset(self.words)
        self.actions = [said(word) for word in self.words]
        self.everything = tuple(range(len(self.words)))
        # A row is one byte a word: 4096 rows of the largest published list are 53 MB.
        self._row = lru_cache(4096)(self._compute_row)
        self.best = lru_cache(16384)(self._compute_best)

    def __reduce__(self) -> tuple[Callable[..., "Vocabulary"], tuple[Any, ...]]:
        return vocabulary, (self.path, self.rule, self.extra, self.count)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Vocabulary":
        return self

    def _compute_row(self, guess: str) -> bytes:
        feedback = self.feedback
        return bytes([_CODES[feedback(guess, word)] for word in self.words])

    def fitting(self, words: tuple[int, ...], guess: str, marks: str) -> tuple[int, ...]:
        """Return those of `words` (indices) that would have answered `guess` with `marks`."""
        row, code = self._row(guess), _CODES[marks]
        return tuple([word for word in words if row[word] == code])

    def _compute_best(self, words: tuple[int, ...]) -> list[int]:
        """Return those of `words` whose answer tells most about which of `words` is hidden.

        That is the largest expected decrease of log(number of words left).
        """
        told: dict[int, float] = {}
        for word in words:
            row = self._row(self.words[word])
            sizes = Counter([row[other] for other in words]).values()
            # fsum rounds once, so words that tell the same amount tie whatever the order.
            told[word] = -math.fsum(size * math.log(size) for size in sizes)
        most = max(told.values())
        return [word for word in words if told[word] == most]


@cache
def vocabulary(path: str, rule: str, answers: str = "", count: int | None = None) -> Vocabulary:
    """Return the vocabulary of given files, read once per process."""
    return Vocabulary(path, rule, answers, count)
