"""Word forms, and the shorthand of the tables."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from lmrl.tasks.questions.lexicon import lexicon


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """Return a word without the ending of a plural or a verb form."""
    known = lexicon()
    word = known.irregular.get(word, word)
    if word in known.unstemmed:
        return word
    if len(word) > 5 and word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s", "e"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= 3 and not word.endswith(("ss", "eed")):
            if ending in ("ing", "ed") and not re.search("[aeiouy]", rest):
                continue
            if ending in ("ing", "ed") and rest[-1] == rest[-2] and rest[-1] not in "lsz":
                rest = rest[:-1]
            return rest.removesuffix("e") if len(rest) > 3 else rest
    return word


def forms(name: str) -> set[str]:
    """Return a name in lower case with its plural and its singular."""
    name = name.lower()
    plural = name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
    found = {name, plural}
    if name.endswith("y"):
        found.add(name[:-1] + "ies")
    if name.endswith(("fe", "f")):
        found.add(name.removesuffix("e")[:-1] + "ves")
    if name.endswith("o"):
        found.add(name + "es")
    if name.endswith("s") and not name.endswith(("ss", "us")):
        found.add(name[:-1])
    return found


def listed(text: str) -> list[str]:
    """Return the parts of a text between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def spelled(phrase: str) -> Iterator[list[str]]:
    """Yield what a phrase of a table stands for: `a/b` is a choice, `a?` or `a/b?` may be left out.

    A `_` joins words: `pick_up/lift it`.
    """
    slots = []
    for slot in phrase.split():
        choices = [choice.split("_") for choice in slot.rstrip("?").split("/")]
        slots.append([*choices, []] if slot.endswith("?") else choices)
    for chosen in product(*slots):
        yield [word for part in chosen for word in part]
