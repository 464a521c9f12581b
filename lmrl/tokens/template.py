"""`Template`: a chat template, cut into pieces that are joined without rendering it again.

The pieces are found by rendering one conversation with marks in the place of its texts. They are
then checked: a conversation of five turns, rendered and tokenised whole, has to equal its pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lmrl.tokens.context import Ids

Message = dict[str, str]

_RULES = "Golf"
_MARKS = ("Alpha", "Bravo", "Charlie", "Delta", "Echo")
_SAMPLE = (
    "You are in a maze. Your position is 3, 4.",
    "move left",
    "There is a wall above you.",
    "move up",
    'Did you say: "No, it isn\'t"?',
    "Is it an animal?",
    "yes, 12 of them",
    "c r a n e",
    "b b y g g",
)
"""Texts of five turns, with which the pieces are checked."""


class Uncuttable(ValueError):
    """A chat template that cannot be cut into pieces, with the reason."""


class Pieces(NamedTuple):
    """The text of a chat template around the texts of a conversation.

    Attributes:
        before_rules: text before the rules.
        after_rules: text from the rules to the text of the first message of the user.
        answered: text from a message of the user to the reply that follows it in the history.
        closing: text from the last message of the user to the place of the model's reply.
        between: text from a reply to the text of the next message of the user.
        folded: whether the rules stand in the first message of the user, because the template has
            no system message.
    """

    before_rules: str
    after_rules: str
    answered: str
    closing: str
    between: str
    folded: bool


Render = Callable[[Sequence[Message]], str]
"""Renders messages with the beginning of a reply; raises if the template refuses them."""


def messages(rules: str, texts: Iterable[str], folded: bool) -> list[Message]:
    """Return a conversation, which begins with a message of the user.

    Args:
        rules: text of the system message.
        texts: texts of the user and of the assistant in turn.
        folded: whether the rules stand in the first message of the user.
    """
    chat = [
        {"role": "assistant" if number % 2 else "user", "content": text}
        for number, text in enumerate(texts)
    ]
    if folded:
        chat[0]["content"] = f"{rules}\n\n{chat[0]['content']}"
        return chat
    return [{"role": "system", "content": rules}, *chat]


def cut(render: Render) -> Pieces:
    """Return the pieces of a chat template.

    Raises:
        Uncuttable: if the template changes what stands between two texts from turn to turn.
    """
    for folded in (False, True):
        try:
            whole = render(messages(_RULES, _MARKS, folded))
        except Exception as error:  # a template raises what it likes
            reason = f"it refuses a conversation: {error}"
            continue
        places = [whole.find(mark) for mark in (_RULES, *_MARKS)]
        if -1 in places or any(a >= b for a, b in pairwise(places)):
            reason = "it leaves out a message, or changes the order of messages"
            continue
        return _pieces(whole, places, folded)
    raise Uncuttable(reason)


def _pieces(whole: str, places: list[int], folded: bool) -> Pieces:
    ends = [place + len(mark) for place, mark in zip(places, (_RULES, *_MARKS), strict=True)]
    gaps = [whole[end:place] for end, place in zip(ends, places[1:], strict=False)]
    after_rules, *turns = gaps
    answered, between = turns[0], turns[1]
    if turns != [answered, between, answered, between]:
        raise Uncuttable("what it puts between two messages differs from turn to turn")
    closing = whole[ends[-1] :]
    thought = closing.removeprefix(answered)
    if not closing.startswith(answered) or (thought and "think" not in thought):
        raise Uncuttable(f"a reply begins after {closing!r}, and after {answered!r} in the history")
    return Pieces(whole[: places[0]], after_rules, answered, closing, between, folded)


class Template:
    """A chat template of a tokenizer.

    Args:
        pieces: pieces of the template.
        encode: function from a text to tokens, in which a special token stays plain text.
        encode_markup: function from a text to tokens that reads special tokens.
        special: whether a token is a special one.
        ends: ids of the tokens that end a reply beside the one of the template.

    Attributes:
        closing: tokens from a message of the user to the place of the model's reply.
        between: tokens from the end of a turn to the text of the next message of the user.
        after_cut: the same after a reply that a limit has cut.
        end: token that ends a turn.
        ends: ids of all tokens that end a turn.
        thought: text with which a reply begins in the prompt, like `<think>`; empty without one.

    Raises:
        Uncuttable: if no special token ends a turn, or the pieces are tokenised differently from
            the whole.
    """

    def __init__(
        self,
        pieces: Pieces,
        render: Render,
        encode: Callable[[str], Ids],
        encode_markup: Callable[[str], Ids],
        special: Callable[[int], bool],
        ends: Iterable[int],
    ) -> None:
        self.pieces = pieces
        self._encode, self._encode_markup = encode, encode_markup
        self.after_cut = encode_markup(pieces.between)
        if not len(self.after_cut) or not special(int(self.after_cut[0])):
            raise Uncuttable(f"no special token ends a reply; it is followed by {pieces.between!r}")
        self.end = int(self.after_cut[0])
        self.between = self.after_cut[1:]
        self.closing = encode_markup(pieces.closing)
        self.thought = pieces.closing.removeprefix(pieces.answered)
        self.ends = frozenset({self.end, *ends})
        self._openings: dict[str, Ids] = {}
        self._check(render)

    def opening(self, rules: str) -> Ids:
        """Return the tokens up to the text of the first message of the user `[O]`.

        Args:
            rules: text of the system message.
        """
        if rules not in self._openings:
            parts = (
                self._encode_markup(self.pieces.before_rules),
                self._encode(rules.strip()),
                self._encode_markup(self.pieces.after_rules),
            )
            self._openings[rules] = np.concatenate(parts)
        return self._openings[rules]

    def _check(self, render: Render) -> None:
        """Compare a conversation of five turns with its pieces, token by token."""
        rules = "You walk through a maze. Reach the goal."
        whole = self._encode_markup(render(messages(rules, _SAMPLE, self.pieces.folded)))
        # A template may drop thoughts from the history, also the empty ones of its prompt.
        answered = self._encode_markup(self.pieces.answered)
        parts = [self.opening(rules)]
        for number, text in enumerate(_SAMPLE):
            parts.append(self._encode(text))
            parts.append(self.after_cut if number % 2 else answered)
        parts[-1] = self.closing
        joined = np.concatenate(parts)
        if not np.array_equal(joined, whole):
            same = min(len(joined), len(whole))
            differs = np.flatnonzero(joined[:same] != whole[:same])
            place = int(differs[0]) if len(differs) else same
            raise Uncuttable(
                f"a conversation has {len(whole)} tokens and its pieces {len(joined)}; they differ "
                f"from token {place} on"
            )
