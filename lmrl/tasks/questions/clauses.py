"""Clauses: the frame of a question (`Is it`, `Do people`), and relative clauses that say more."""

from typing import NamedTuple

from lmrl.tasks.questions.lexicon import lexicon

PREPOSITIONS = ("in", "on", "inside", "to", "with", "for", "from")
"""Prepositions after which `that` does not begin a relative clause.

With an `it` after one of them, they end a clause with `there`.
"""


class Frame(NamedTuple):
    """What surrounds the properties of a clause.

    Attributes:
        negated: whether the clause is negated.
        people: whether its subject means people.
        passive: whether it is in the passive.
        rest: words after the frame; of a passive as in the active, with an `it`.
    """

    negated: bool
    people: bool
    passive: bool
    rest: list[str]


def segments(words: list[str]) -> list[tuple[list[str], bool]]:
    """Return the clause and its relative clauses, each with whether it is one."""
    known = lexicon()
    found: list[tuple[list[str], bool]] = []
    start, relative, at = 0, False, 1
    while at < len(words):
        word, before = words[at], words[at - 1]
        cut = drop = 0
        if word in ("that", "which", "who", "where") and at > start + 1:
            if before not in known.auxiliaries and before not in PREPOSITIONS and before != "than":
                cut, drop = 1, 1
        elif before in known.heads and at > start + (0 if relative else 1):
            _, person, taken = subject(words, at)
            if (person and taken and at + taken < len(words)) or word in known.agents:
                cut = 1
            elif word == "to" and before in known.generic and at + 1 < len(words):
                words = [*words[:at], "you", *words[at + 1 :]]
                cut = 1
            elif is_participle(word) and before not in ("one", "common"):
                words = [*words[:at], "is", *words[at:]]
                cut = 1
        if cut:
            found.append((words[start:at], relative))
            start, relative = at + drop, True
        at += 1
    found.append((words[start:], relative))
    return found


def is_participle(word: str) -> bool:
    """Return whether a word looks like a past participle."""
    return word in lexicon().participles or (word.endswith("ed") and len(word) > 4)


def subject(words: list[str], at: int) -> tuple[bool, bool, int]:
    """Return whether a subject means the thing, whether people, and how many words it has."""
    known = lexicon()
    word = words[at] if at < len(words) else ""
    following = words[at + 1] if at + 1 < len(words) else ""
    if word in known.articles_of_it and following in known.names_of_it:
        length = 2
        while at + length < len(words) and words[at + length] in known.names_of_it:
            length += 1
        return True, False, length
    if word in known.it:
        return True, False, 1
    length = 0
    while at + length < len(words) and words[at + length] in known.before_persons:
        length += 1
    if at + length < len(words):
        noun = words[at + length]
        if noun in known.persons or (not length and noun in known.people):
            length += 1
            if noun == "human" and words[at + length : at + length + 1] in (
                ["being"],
                ["beings"],
            ):
                length += 1
            return False, True, length
    if word == "one" and following in known.auxiliaries:
        return False, True, 1
    return False, False, 0


def frame(words: list[str], relative: bool) -> Frame:
    """Return the frame of a clause.

    Args:
        words: words of the clause.
        relative: whether it is a relative clause.
    """
    known = lexicon()
    negated = people = there = False
    auxiliary, at = "", 0
    if words and words[0] in known.auxiliaries and not (words[0] == "have" and not relative):
        auxiliary, at = words[0], 1
        if words[1:2] == ["not"]:
            at = 2
            negated = relative
    while at < len(words) and words[at] in known.adverbs:
        at += 1
    thing, people, taken = subject(words, at)
    if taken and not (thing and relative and not auxiliary):
        at += taken
    elif words[at : at + 1] == ["there"]:
        there, at = True, at + 1
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        if word in known.adverbs:
            at += 1
        elif word in ("not", "never"):
            negated, at = not negated, at + 1
        elif word in known.waiting and following == "to":
            at += 2
        elif word in known.auxiliaries and (
            word not in ("has", "have", "had") or following in ("been", "not")
        ):
            auxiliary, at = word, at + 1
        elif word == "get" and is_participle(following):
            auxiliary, at = "be", at + 1
        else:
            break
    rest = words[at:]
    if there and rest[-1:] == ["it"] and rest[-2:-1] and rest[-2] in PREPOSITIONS:
        rest = rest[:-2]
    passive = (
        auxiliary in known.forms_of_be and not people and bool(rest) and is_participle(rest[0])
    )
    if passive:
        if rest[-2:] == ["by", "people"]:
            rest = rest[:-2]
        rest = [rest[0], "it", *rest[1:]] if rest[1:2] != ["it"] else rest
    elif rest[-2:] == ["by", "people"]:
        rest = rest[:-2]
    return Frame(negated, people, passive, rest)
