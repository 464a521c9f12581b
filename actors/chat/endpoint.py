"""Instruct models behind any server with OpenAI's API."""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from actors.chat.config import ChatConfig, ChatReply, Message, ReplyTimeout, RequestRefused
from actors.chat.served import TURN_TOKENS

log = logging.getLogger(__name__)

_PIECE = re.compile(r"\d|[^\W\d]{1,5}|[^\w\s]|\n")
"""Text that is about one token in common tokenizers: up to five letters, a digit, or a mark."""


REPLACED: Mapping[str, str | None] = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "seed": None,
}
"""Parameters that some models do not accept, and their replacement there; None has none."""

_UNSUPPORTED = re.compile(
    r"unsupported|not support|not permitted|not allowed|extra_forbidden|unrecogni[sz]ed|unknown"
    r"|deprecated|only the default",
    re.IGNORECASE,
)
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")
"""Half of a surrogate pair. JSON can hold one; tokenizers and files cannot."""
_SHOWN = 300
"""Largest number of characters of a server's text in an error message."""


class Endpoint:
    """A model behind a server with OpenAI's API, called through OpenAI's own client.

    After status 408, 409, 429, 5xx or a lost connection the client retries up to
    `ChatConfig.retries` times. It obeys Retry-After up to two minutes. If the model refuses a
    parameter by name, the parameter is left out or replaced (`REPLACED`) from then on. Any other
    refusal ends the request.

    Args:
        config: settings of the model, with `endpoint`.
    """

    def __init__(self, config: ChatConfig) -> None:
        import os

        from openai import OpenAI

        self.config = config
        self.name, self.version = config.model, str(config.endpoint)
        self.client = OpenAI(
            base_url=config.endpoint,
            api_key=os.environ.get("OPENAI_API_KEY", "none"),
            timeout=config.timeout,
            max_retries=config.retries,
        )
        self.refused: frozenset[str] = frozenset()
        self.lock = threading.Lock()

    def reply(self, messages: Sequence[Message], seed: int = 0) -> ChatReply:
        """Return one reply; see `ChatModel`."""
        from openai import APIConnectionError, APIStatusError

        wanted = {
            "max_tokens": self.config.max_tokens,
            "temperature": self.config.temperature,
            "seed": seed,
        }
        conversation: list[Any] = list(messages)
        while True:
            refused = self.refused
            try:
                answer = self.client.chat.completions.with_raw_response.create(
                    model=self.config.model,
                    messages=conversation,
                    **_parameters(wanted, refused),
                )
                return ChatReply(self._text(answer.parse()), answer.retries_taken)
            except APIConnectionError as error:
                words = f"{self.config.endpoint} did not answer: {error}"
                raise ReplyTimeout(words, self.config.retries) from error
            except APIStatusError as error:
                another = _unsupported(error)
                if another is not None and another not in refused:
                    self._leave_out(another)
                    continue
                words = f"status {error.status_code}, {_short(_words(error))}"
                if error.status_code in (408, 409, 429) or error.status_code >= 500:
                    asked = int(error.request.headers.get("x-stainless-retry-count", 0))
                    raise ReplyTimeout(
                        f"{self.config.endpoint} did not answer, asked {asked + 1} times: {words}",
                        asked,
                    ) from error
                raise RequestRefused(
                    f"{self.config.endpoint} refuses to answer: {words}"
                ) from error

    def _leave_out(self, parameter: str) -> None:
        """Leave a parameter out from now on; other threads may still have requests with it."""
        with self.lock:
            if parameter in self.refused:
                return
            self.refused |= {parameter}
        log.warning(
            "%s of %s refuses %s; requests are sent %s from now on",
            self.name,
            self.config.endpoint,
            parameter,
            f"with {REPLACED[parameter]}" if REPLACED[parameter] else "without",
        )

    def _text(self, answer: Any) -> str:
        """Return the text of an answer with status 200.

        Raises:
            RequestRefused: if the answer is not a chat completion.
        """
        choices = getattr(answer, "choices", None)
        if isinstance(choices, list):
            # Without a choice or content the reply is empty, and the caller counts it as such.
            message = getattr(choices[0], "message", None) if choices else None
            content = getattr(message, "content", None)
            text = content if isinstance(content, str) else ""
            return _HALF_PAIR.sub("\N{REPLACEMENT CHARACTER}", text)
        dumped = answer if isinstance(answer, str) else getattr(answer, "model_extra", None)
        raise RequestRefused(
            f"{self.config.endpoint} answered with no chat completion but {_short(str(dumped))}; "
            "give the base URL of OpenAI's API, which mostly ends in /v1"
        )

    def size(self, messages: Sequence[Message]) -> int:
        """Return an estimate of the number of tokens, without the tokenizer of the server."""
        return sum(TURN_TOKENS + len(_PIECE.findall(message["content"])) for message in messages)


def _parameters(wanted: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """Return the parameters of a request, without refused ones or with their replacements."""
    named = ((REPLACED[n] if n in refused else n, value) for n, value in wanted.items())
    return {name: value for name, value in named if name}


def _unsupported(error: Any) -> str | None:
    """Return the parameter that a model does not support, from the server's error.

    A value out of range does not count: without the parameter the request would be a different one.
    """
    if error.status_code not in (400, 422):
        return None
    text = f"{error.code} {error.message}"
    if not _UNSUPPORTED.search(text):
        return None
    # The first name in a message is the refused one; the next one is its replacement.
    named = [name for name in REPLACED if re.search(rf"\b{name}\b", text)]
    if error.param in REPLACED:
        return str(error.param)
    return min(named, key=text.index, default=None)


def _words(error: Any) -> str:
    """Return the message of a server's error."""
    message = error.body.get("message") if isinstance(error.body, dict) else None
    return str(message or error.message)


def _short(words: str) -> str:
    """Return the beginning of a server's text, in one line."""
    line = " ".join(words.split())
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "...")
