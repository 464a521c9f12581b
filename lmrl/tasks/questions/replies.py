"""Prompts and replies of the two guessing games.

A prompt says what the hidden thing is and what was asked, in the formats of the published benchmark
(arXiv 2311.18232, appendix C; `twenty_questions/env/oracle.py` and `guess_city/env/oracle.py` of
its code), which a fine-tuned FLAN-T5-XL answered there.
"""

import re
from collections.abc import Sequence

HEADER = "Questions:\n"
TURNS = 20
YES, NO, UNKNOWN = "Yes.", "No.", "I don't know."
LONGEST_ANSWER = 300
"""Maximum number of characters of an answer in Guess My City."""


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
