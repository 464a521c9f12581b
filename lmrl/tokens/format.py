"""Formats: how the texts of an episode become messages, and how a reply becomes an action.

`plain` gives a model the texts of the task as they are. `chat` wraps them in the messages of the
model's own chat template: the rules are the system message, observations are messages of the user,
and actions are messages of the assistant. A format gives pieces of tokens, which
`lmrl.tokens.context` joins. What a policy sampled is never rendered or tokenised again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lmrl.tokens.context import NO_IDS, Ids
from lmrl.tokens.replies import NOTHING, read_action, thought_begins, thought_ends

if TYPE_CHECKING:
    from lmrl.tokens.codec import Codec
    from lmrl.tokens.template import Template

FormatKind = Literal["auto", "plain", "chat"]
"""Kinds of formats; `auto` is chat if the tokenizer has a chat template, else plain."""

FORM = (
    "Each of your messages is the next action alone: one line, without an explanation, without "
    "quotation marks, and with nothing before or after it."
)
THINKING_FORM = "Think first. Then write the next action alone: one line, and nothing after it."
LEFT_OUT = "(Earlier messages are left out.)"


@dataclass(frozen=True)
class FormatConfig:
    """A format.

    Attributes:
        kind: kind of the format.
        system: text that is added to the task's rules in the system message of a chat.
        thinking: whether the model thinks before each action of a chat.
        thought_tokens: largest number of tokens of the thoughts of one reply, with `thinking`.
        action_tokens: largest number of tokens of an action, the end of the turn included.
    """

    kind: FormatKind = "plain"
    system: str = ""
    thinking: bool = False
    thought_tokens: int = 0
    action_tokens: int = 2**31

    @property
    def reply_tokens(self) -> int:
        """Largest number of tokens of a reply."""
        return self.action_tokens + (self.thought_tokens if self.thinking else 0)


class Action(NamedTuple):
    """An action in a reply.

    Attributes:
        text: text of the action, without the task's stop text; empty if there is none.
        tokens: number of the reply's tokens that count; those after a limit do not.
        cut: whether a token limit ended the reply.
        malformed: whether the reply has no action.
    """

    text: str
    tokens: int
    cut: bool
    malformed: bool


class Format(ABC):
    """How texts become tokens of a context, and how a reply becomes an action."""

    instructed: bool = False
    """Whether contexts have the task's rules."""

    @abstractmethod
    def beginning(self, instructions: str) -> tuple[Ids, Ids]:
        """Return the beginnings of contexts: `Trajectory.opening` and `Trajectory.resuming`.

        Args:
            instructions: rules of the task.
        """

    @abstractmethod
    def observation(self, text: str, after: Ids | None) -> tuple[Ids, int]:
        """Return the tokens of an observation `[C]` and the length of its lead.

        Args:
            text: the observation.
            after: tokens of the action before it; None for the first observation.
        """

    @abstractmethod
    def action(self, text: str) -> Ids:
        """Return the tokens `[A]` of an action that no model sampled."""

    @abstractmethod
    def read(self, ids: Ids, stop: str) -> Action:
        """Return the action in a sampled reply.

        Args:
            ids: tokens of the reply.
            stop: text that ends an action of the task.
        """

    @abstractmethod
    def stop_ids(self, stop: str) -> list[int]:
        """Return the ids of the tokens that end a reply.

        Args:
            stop: text that ends an action of the task.
        """


@dataclass(frozen=True)
class Plain(Format):
    """The texts of the task as they are.

    Attributes:
        codec: tokenizer.
    """

    codec: Codec

    def beginning(self, instructions: str) -> tuple[Ids, Ids]:
        """Return nothing."""
        return NO_IDS, NO_IDS

    def observation(self, text: str, after: Ids | None) -> tuple[Ids, int]:
        """Return the tokens of the text."""
        return self.codec.encode(text), 0

    def action(self, text: str) -> Ids:
        """Return the tokens of the text."""
        return self.codec.encode(text)

    def read(self, ids: Ids, stop: str) -> Action:
        """Return the text before the stop text. A stop token may have more text after it."""
        text, found, _ = self.codec.decode(ids).partition(stop)
        ended = bool(found) or (len(ids) > 0 and ids[-1] == self.codec.end_id)
        return Action(text, len(ids), not ended, False)

    def stop_ids(self, stop: str) -> list[int]:
        """Return the tokens that contain the stop text, and end-of-text."""
        return self.codec.tokens_with(stop)


@dataclass(frozen=True)
class Chat(Format):
    """The messages of a chat template.

    Attributes:
        codec: tokenizer.
        template: pieces of the tokenizer's chat template.
        config: settings of the format.
    """

    codec: Codec
    template: Template
    config: FormatConfig
    instructed = True

    def beginning(self, instructions: str) -> tuple[Ids, Ids]:
        """Return the system message, and the system message with a note on what is left out."""
        opening = self.template.opening(rules(instructions, self.config))
        left_out, _ = self.observation(LEFT_OUT, None)
        return opening, np.concatenate([opening, left_out])

    def observation(self, text: str, after: Ids | None) -> tuple[Ids, int]:
        """Return a message of the user and the beginning of the reply to it.

        The lead ends the previous turn, if a limit has cut it, and begins the message.
        """
        body = np.concatenate([self.codec.encode(text.strip() or NOTHING), self.template.closing])
        if after is None:
            return body, 0
        ended = len(after) > 0 and int(after[-1]) in self.template.ends
        lead = self.template.between if ended else self.template.after_cut
        return np.concatenate([lead, body]), len(lead)

    def action(self, text: str) -> Ids:
        """Return the text and the end of the turn."""
        ids = self.codec.encode(text.strip() or NOTHING)
        return np.append(ids, self.template.after_cut[:1])

    def read(self, ids: Ids, stop: str) -> Action:
        """Return the action after the thoughts."""
        kept = self._within_limits(ids)
        ended = kept > 0 and int(ids[kept - 1]) in self.template.ends
        reply = self.codec.decode(ids[: kept - ended], special=True)
        text = read_action(self.template.thought + reply).partition(stop)[0]
        return Action(text, kept, not ended, not text)

    def _within_limits(self, ids: Ids) -> int:
        """Return how many tokens of a reply are within the limits of thoughts and action."""
        config = self.config
        if not config.thinking:
            return min(len(ids), config.action_tokens)
        thought = self._thought_tokens(ids)
        if thought > config.thought_tokens:
            return min(len(ids), config.thought_tokens)
        return min(len(ids), thought + config.action_tokens)

    def _thought_tokens(self, ids: Ids) -> int:
        """Return the number of tokens of a reply's thoughts, with the tag that ends them."""

        def ends(count: int) -> bool:
            return thought_ends(
                self.template.thought + self.codec.decode(ids[:count], special=True)
            )

        if not ends(len(ids)):
            begun = self.template.thought + self.codec.decode(ids, special=True)
            return len(ids) if thought_begins(begun) else 0
        low, high = 0, len(ids)  # the smallest count of tokens with the tag is in (low, high]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if ends(middle) else (middle, high)
        return high

    def stop_ids(self, stop: str) -> list[int]:
        """Return the tokens that end a turn."""
        return sorted(self.template.ends)


def rules(instructions: str, config: FormatConfig) -> str:
    """Return the text of the system message.

    Args:
        instructions: rules of the task.
        config: settings of the format.
    """
    form = THINKING_FORM if config.thinking else FORM
    return " ".join(part for part in (config.system, instructions, form) if part)
