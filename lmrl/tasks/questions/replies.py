"""What the dialogue tasks ask of an oracle: prompts, replies, questions and recorded conversations.

An oracle is a callable from a prompt to a reply, be it a scripted one, a language model or a
function in a test. The prompt says what the hidden thing is and what was asked, in the formats of
the published benchmark (arXiv 2311.18232, appendix C; `twenty_questions/env/oracle.py` and
`guess_city/env/oracle.py` of its code), which a fine-tuned FLAN-T5-XL answered there.

Functions named `published_...` do what the published code does, quirks included.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lmrl.errors import UsageError

HEADER = "Questions:\n"
TURNS = 20
YES, NO, UNKNOWN = "Yes.", "No.", "I don't know."
INVALID_QUESTION = "Is this a valid question?\n"
LONGEST_QUESTION = 400
"""Characters of a question that anybody reads; the published oracle read 124 tokens."""

Ask = Callable[[str], str]


@runtime_checkable
class Oracle(Protocol):
    """Answers a prompt; `name` and `version` go into the record of every episode."""

    @property
    def name(self) -> str:
        """Who answers."""
        ...

    @property
    def version(self) -> str:
        """Which one of that name."""
        ...

    def __call__(self, prompt: str, /) -> str:
        """Return the reply to a prompt."""
        ...


@dataclass(frozen=True)
class Named:
    """An oracle made of any callable."""

    ask: Ask
    name: str
    version: str = ""

    def __call__(self, prompt: str, /) -> str:
        """Return the reply to a prompt."""
        return self.ask(prompt)


def as_oracle(given: Any, task: str) -> Oracle:
    """Return what was given for the option `oracle` of a task as an oracle.

    Raises:
        UsageError: if it cannot be called.
    """
    if isinstance(given, Oracle):
        return given
    if not callable(given):
        raise UsageError(
            f"{task} option oracle is {given!r}; give a callable from a prompt to a reply"
        )
    return Named(given, name=getattr(given, "__name__", type(given).__name__))


# -- prompts and replies --------------------------------------------------------------------------


def object_prompt(names: Sequence[str], question: str) -> str:
    """Return the prompt of Twenty Questions for an object with its accepted names."""
    return (
        "Answer the question about the object truthfully.\n"
        f"object: ({', '.join(names)})\nquestion: {question}\nanswer (yes or no): "
    )


def city_prompt(city: str, question: str, faithful: bool = False) -> str:
    """Return the prompt of Guess My City; the published one has indented lines."""
    indent = "    " if faithful else ""
    return (
        "Answer the question about the city truthfully.\n"
        f"{indent}object: {city}\n{indent}question: {question}\n{indent}answer: "
    )


def read_prompt(prompt: str) -> tuple[str, str]:
    """Return the hidden thing and the question that a prompt was made of."""
    _, _, rest = prompt.partition("object: ")
    hidden, _, rest = rest.partition("\n")
    return hidden, rest.partition("question: ")[2].rpartition("\n")[0]


def yes_or_no(reply: str) -> str:
    """Return a reply as `Yes.`, `No.`, or `I don't know.` for everything else."""
    first = re.match(r"\W*(yes|no)\b", reply.lower())
    return UNKNOWN if first is None else YES if first[1] == "yes" else NO


def is_answer(reply: str) -> bool:
    """Return whether a reply is a yes, a no, or says that it does not know."""
    return yes_or_no(reply) != UNKNOWN or "don't know" in reply.lower().replace("’", "'")


def published_yes_or_no(reply: str, question: str) -> str:
    """Return `Yes.` for a reply that starts so, and `No.` for any other.

    The marker of invalid questions is answered with no, but only with the newline that the
    environment has cut off before (quirk Q1).
    """
    if question == INVALID_QUESTION:
        return NO
    return YES if reply.lower().strip().startswith("yes") else NO


# -- questions ------------------------------------------------------------------------------------

_FIRST_WORDS = frozenset({"Is", "Does", "Can", "Do", "Are", "Could"})


def one_line(text: str) -> str:
    """Return a question as an oracle reads it: one line of at most `LONGEST_QUESTION` letters."""
    return " ".join(text[: 4 * LONGEST_QUESTION].split())[:LONGEST_QUESTION]


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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whatever the tagger of NLTK does not call a noun in questions of this game.
_NO_NOUNS = _words(
    """
    a an the this that these those some any another every each all both it its he she they them
    his her their my your our you i we me us one is are was were be been being am do does did can
    could would should might may must will shall has have had not n't of in on at by for from with
    without to into onto about as like than over under and or but if so then very too really just
    also only ever never usually often commonly typically mostly mainly generally probably maybe
    perhaps what which who whose where when why how there here yes no
    use used using make made makes find found look looks think thinking mean means called wear worn
    eat eaten see seen guess guessing known play played keep kept put hold held cut write drive
    big small large little tiny huge long short tall heavy light thin thick flat round hard soft
    new old young good bad nice hot cold warm cool wet dry red green blue yellow white black brown
    pink purple grey gray golden wooden electric electronic sharp fast slow common real similar
    same different other own alive edible sweet sour fresh raw dangerous expensive cheap beautiful
    single specific regular normal typical certain particular strong weak clean dirty empty full
    bigger larger smaller heavier lighter taller shorter longer
    """
)
_ADJECTIVE = re.compile(r"\w{2,}(?:ful|ous|able|ible|ish|less|ive|ly|ical|onal|ural|tic)")
_TOKEN = re.compile(r"n't|'\w+|\w+?(?=n't\b)|\w+(?:[-.’]\w+)*|[^\w\s]")
_IGNORED = frozenset({"object", "something", "type", "kind"})


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
        noun = token[0].isalpha() and token not in _NO_NOUNS and not _ADJECTIVE.fullmatch(token)
        if noun and token not in allowed and following != "of":
            return False
    return any(tokens[-len(variant) :] == variant for variant in variants)


def published_city_is_done(city: str, question: str) -> bool:
    """Return whether the *characters* of a city begin like the tokens of a question (quirk G1)."""
    tokens = _tokens(_cut(question[: 4 * LONGEST_QUESTION]))
    return bool(tokens) and all(a == b for a, b in zip(city, tokens, strict=False))


# -- recorded conversations -----------------------------------------------------------------------


def split_line(line: str, first: bool = False) -> tuple[str, str]:
    """Return question and answer of a recorded line, split at the last `? ` or at the first."""
    before, mark, after = line.partition("? ") if first else line.rpartition("? ")
    return (before + "?", after) if mark else (line, "")


def conversation_texts(
    conversation: Mapping[str, Any], first: bool = False
) -> list[tuple[str, bool, float]]:
    """Return a recorded conversation as (text, is it an action, reward).

    Args:
        conversation: `lines`, and whether it was `correct`.
        first: as in `split_line`.
    """
    lines: Iterable[str] = conversation["lines"]
    texts = [(HEADER, False, 0.0)]
    for line in lines:
        question, answer = split_line(line, first)
        texts += [(question + "\n", True, -1.0), (answer + "\n", False, 0.0)]
    if conversation["correct"] and len(texts) > 1:
        texts[-2] = (texts[-2][0], True, 0.0)
    return texts


def conversation_is_over(conversation: Mapping[str, Any]) -> bool:
    """Return whether a recorded conversation ended: solved, or 20 questions asked."""
    return bool(conversation["correct"]) or len(conversation["lines"]) >= TURNS
