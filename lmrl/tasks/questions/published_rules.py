"""What the published code does with questions and replies, quirks included."""

import re
from collections.abc import Sequence
from functools import cache

from lmrl.tasks.assets import read_text
from lmrl.tasks.oracle_protocol import LONGEST_QUESTION
from lmrl.tasks.questions.replies import NO, YES

INVALID_QUESTION = "Is this a valid question?\n"
_FIRST_WORDS = frozenset({"Is", "Does", "Can", "Do", "Are", "Could"})
_ADJECTIVE = re.compile(r"\w{2,}(?:ful|ous|able|ible|ish|less|ive|ly|ical|onal|ural|tic)")
_TOKEN = re.compile(r"n't|'\w+|\w+?(?=n't\b)|\w+(?:[-.’]\w+)*|[^\w\s]")
_IGNORED = frozenset({"object", "something", "type", "kind"})


def published_yes_or_no(reply: str, question: str) -> str:
    """Return `Yes.` for a reply that starts so, and `No.` for any other.

    The marker of invalid questions is answered with no, but only with the newline that the
    environment has cut off before (quirk Q1).
    """
    if question == INVALID_QUESTION:
        return NO
    return YES if reply.lower().strip().startswith("yes") else NO


def published_strict_question(text: str) -> str:
    """Return a well-formed question, or the marker of invalid ones."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    text = text if text.endswith("?") else text + "?"
    words = text.split()
    cut = text.endswith(".?") and not text.endswith("etc.?")
    if not words or words[0] not in _FIRST_WORDS or len(words) > 40 or cut:
        return INVALID_QUESTION
    return text + "\n"


def published_simple_question(text: str) -> str:
    """Return a text with a question mark at its end."""
    text = text.strip()
    return (text if text.endswith("?") else text + "?") + "\n"


def published_short_question(text: str) -> str:
    """Return the same of the first 50 words."""
    return published_simple_question(" ".join(text.split()[:50]))


@cache
def not_nouns() -> frozenset[str]:
    """Return the words that the tagger of NLTK does not call a noun in questions of this game."""
    return frozenset(read_text("not_nouns.txt").split())


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _cut(question: str) -> str:
    end = len(question)
    while end and not question[end - 1].isalpha():
        end -= 1
    return question[:end]


def published_is_done(names: Sequence[str], question: str) -> bool:
    """Return whether a question names the object, as the published detector decides.

    The last tokens of the question are those of a name, and there is no other noun unless `of`
    follows it. The published code asks the tagger of NLTK what a noun is; here it is every word but
    those of a closed list, common adjectives and verbs, and words with an adjective's ending.
    """
    tokens = _tokens(_cut(question[-4 * LONGEST_QUESTION :]))
    if not tokens:
        return False
    variants = [_tokens(name) for name in names]
    allowed = _IGNORED.union(*variants)
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        noun = token[0].isalpha() and token not in not_nouns() and not _ADJECTIVE.fullmatch(token)
        if noun and token not in allowed and following != "of":
            return False
    return any(tokens[-len(variant) :] == variant for variant in variants)


def published_city_is_done(city: str, question: str) -> bool:
    """Return whether the *characters* of a city begin like the tokens of a question (quirk G1)."""
    tokens = _tokens(_cut(question[: 4 * LONGEST_QUESTION]))
    return bool(tokens) and all(a == b for a, b in zip(city, tokens, strict=False))
