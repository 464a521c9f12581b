"""Conversations of the published data sets."""

from collections.abc import Iterable, Mapping
from typing import Any

from lmrl.tasks.questions.replies import HEADER, TURNS


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
        first: whether a line is split at the first `? ` instead of the last.
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
