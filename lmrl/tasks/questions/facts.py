"""A table of things and what is true of them, which is a scripted oracle."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lmrl.tasks.questions.grammar import Grammar
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES, read_prompt
from lmrl.tasks.questions.words import listed


class Facts(Grammar):
    """A table of things and what is true of them, and a scripted oracle that tells it.

    It never changes, so an environment pickles and copies without it.

    Args:
        labels: name of each thing.
        prompts: name of each thing in a prompt.
        sizes: size of each thing, for comparisons.
        fillers: words that mean nothing here, beside those of the grammar.
        preamble: words that may stand before a name, beside those of the grammar.
    """

    name = "scripted"
    version = "3"

    def __init__(
        self,
        labels: Sequence[str],
        prompts: Sequence[str],
        sizes: Sequence[float],
        fillers: str = "",
        preamble: str = "",
    ) -> None:
        super().__init__(sizes, fillers, preamble)
        self.labels = labels
        self.index = {label: number for number, label in enumerate(labels)}
        self.by_prompt = {prompt: number for number, prompt in enumerate(prompts)}

    def __reduce__(self) -> tuple[Callable[..., "Facts"], tuple[type["Facts"]]]:
        return shared, (type(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Facts":
        return self

    def truth(self, means: str, described: str) -> tuple[int, str, int]:
        """Return the arguments of `add_property` for phrases and what they are true of."""
        mask, unsure = self.described(described)
        return mask, means, unsure

    def described(self, described: str) -> tuple[int, int]:
        """Return the things that a description names, and those of which nobody can say.

        A description lists things and sets of them (see `entry`, `*` is all); `-` before an entry
        takes its things away again; `~` before a thing makes it unsure, before a set those that
        are not listed yet.
        """
        mask = unsure = 0
        for entry in listed(described):
            sign = entry[0] if entry[0] in "-~" else ""
            name = entry.removeprefix(sign)
            found, doubtful = self.entry(name)
            if sign == "-":
                mask, unsure = mask & ~found, unsure & ~found
            elif sign == "~":
                mask = mask & ~found if name in self.index else mask
                unsure |= (found | doubtful) & ~mask
            else:
                mask, unsure = mask | found, (unsure & ~found) | (doubtful & ~mask & ~found)
        return mask, unsure

    def entry(self, name: str) -> tuple[int, int]:
        """Return the things that an entry of a description means, and those it leaves unsure."""
        return (self.all, 0) if name == "*" else (1 << self.index[name], 0)

    def judgement(self, number: int, question: str) -> str | None:
        """Return the answer to a yes/no question; None if it is not understood."""
        found = self.evaluate(question)
        if found is None:
            return None
        sure, maybe = found
        return YES if sure >> number & 1 else UNKNOWN if maybe >> number & 1 else NO

    @abstractmethod
    def answer(self, number: int, question: str) -> str:
        """Return what the oracle says about a thing."""

    def __call__(self, prompt: str, /) -> str:
        """Answer a prompt about one of the things."""
        hidden, question = read_prompt(prompt)
        number = self.by_prompt.get(hidden)
        return UNKNOWN if number is None else self.answer(number, question)


Table = TypeVar("Table", bound=Facts)
_TABLES: dict[Callable[[], Any], Any] = {}


def shared(table: Callable[[], Table]) -> Table:
    """Return the only table of a class in this process; the first call reads it."""
    if table not in _TABLES:
        _TABLES[table] = table()
    found: Table = _TABLES[table]
    return found


def members(mask: int) -> list[int]:
    """Return the numbers of the bits that are set."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]
