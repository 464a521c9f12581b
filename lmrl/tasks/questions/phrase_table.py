"""Phrases and the things of which they are true."""

from collections.abc import Sequence

from lmrl.tasks.questions.lexicon import lexicon
from lmrl.tasks.questions.words import listed, spelled, stem

Truth = tuple[int, int]
"""The things of which something is true, and those of which it is true or nobody can say."""


class PhraseTable:
    """What phrases are true of; phrases are compared by word stems.

    Attributes:
        phrases: word stems -> the things that have the property.
        gapped: the same for phrases with an `it` (`you eat it`), without it.
        joints: words around an `and` or `or` in phrases.
        longest: first stem -> number of stems of the longest phrase that begins with it.
    """

    def __init__(self) -> None:
        self.phrases: dict[tuple[str, ...], Truth] = {}
        self.gapped: dict[tuple[str, ...], Truth] = {}
        self.joints: set[tuple[str, ...]] = set()
        self.longest: dict[str, int] = {}

    def add(self, means: str, truth: Truth) -> None:
        """Let phrases mean a property; a phrase that is known keeps its meaning.

        Args:
            means: phrases as `words.spelled` reads them, separated by commas.
            truth: the things that have the property.
        """
        determiners = lexicon().determiners
        for phrase in listed(means):
            for words in spelled(phrase):
                key = tuple(stem(word) for word in words if word not in determiners)
                if not key:
                    continue
                if key[:2] == ("use", "to"):
                    key = ("use", "for", *key[2:])
                if key[0] == "mak" and len(key) > 2 and key[1] in ("of", "from"):
                    key = ("mak", *key[2:])
                if key[:2] == ("use", "for") and self.phrases.get(key[2:]) == truth:
                    continue
                self._add(self.phrases, key, truth)
                if "it" in key and len(key) > 1:
                    at = key.index("it")
                    self._add(self.gapped, key[:at] + key[at + 1 :], truth)

    def _add(self, table: dict[tuple[str, ...], Truth], key: tuple[str, ...], truth: Truth) -> None:
        table.setdefault(key, truth)
        self.longest[key[0]] = max(len(key), self.longest.get(key[0], 0))
        for at in range(1, len(key) - 1):
            if key[at] in ("and", "or"):
                self.joints.add(key[at - 1 : at + 2])

    def joins(self, words: Sequence[str], number: int) -> bool:
        """Return whether word `number`, an `or` or `and`, is part of a phrase."""
        return tuple(stem(word) for word in words[max(0, number - 1) : number + 2]) in self.joints

    def longest_match(self, stems: Sequence[str], at: int, gap: bool) -> tuple[Truth | None, int]:
        """Return the truth of the longest phrase at a place, and its length; `it` may be absent.

        Args:
            stems: word stems of a clause.
            at: index of the first stem of the phrase.
            gap: whether `it` is left out after a verb, as in `something you eat`.
        """
        most = min(self.longest.get(stems[at], 0) + 1, len(stems) - at)
        for length in range(most, 0, -1):
            key = tuple(stems[at : at + length])
            found = self.phrases.get(key)
            if gap and (found is None or key in self.gapped):
                found = self.gapped.get(key, found)
            if found is None and length > 1 and "it" in key:
                found = self.phrases.get(tuple(word for word in key if word != "it"))
            if found is not None:
                return found, length
        return None, 1
