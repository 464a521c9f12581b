"""`RetryingChatModel`: replies cached, retried and counted, and the oracle that is made of one."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from actors.chat.config import ChatConfig, ChatModel, ChatUsage, Message, ReplyTimeout
from actors.chat.endpoint import Endpoint
from actors.chat.replies import spoken
from actors.chat.served import ServedChatModel

log = logging.getLogger(__name__)


class RetryingChatModel:
    """A model that is asked for as long as it may come, remembers greedy replies, and counts.

    Args:
        model: to ask; it asks again by itself.
        config: temperature and size of the cache.
    """

    def __init__(self, model: ChatModel, config: ChatConfig) -> None:
        self.model, self.config = model, config
        self.name, self.version = model.name, model.version
        self.usage = ChatUsage()
        self.known: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self.lock = threading.Lock()

    def reply(self, messages: Sequence[Message], seed: int = 0) -> str:
        """Return the text of one reply; see `ChatModel`."""
        key = tuple(f"{message['role']}:{message['content']}" for message in messages)
        greedy = self.config.temperature == 0
        with self.lock:
            self.usage.replies += 1
            if greedy and key in self.known:
                self.usage.cached += 1
                self.known.move_to_end(key)
                return self.known[key]
        said = self._ask(messages, seed)
        if greedy and said:  # nothing said may be the server's fault, which passes
            with self.lock:
                self.known[key] = said
                while len(self.known) > self.config.cache:
                    self.known.popitem(last=False)
        return said

    def _ask(self, messages: Sequence[Message], seed: int) -> str:
        try:
            said = self.model.reply(messages, seed)
        except ReplyTimeout as late:
            with self.lock:
                self.usage.timeouts += 1
                self.usage.retries += late.retries
            raise
        with self.lock:
            self.usage.retries += said.retries
            self.usage.empty += not said.text.strip()
        return said.text

    def size(self, messages: Sequence[Message]) -> int:
        """Return how many tokens messages have; see `ChatModel`."""
        return self.model.size(messages)

    def take_usage(self) -> ChatUsage:
        """Return what was asked since the last call."""
        with self.lock:
            taken, self.usage = self.usage, ChatUsage()
        return taken


class ChatOracle:
    """A model as the oracle or buyer of a task: from a prompt to a reply.

    Args:
        model: that answers.
    """

    def __init__(self, model: RetryingChatModel) -> None:
        self.model = model
        self.name, self.version = model.name, model.version

    def __call__(self, prompt: str, /) -> str:
        """Return what the model says to a prompt, without its thoughts and marks of turns."""
        return spoken(self.model.reply([{"role": "user", "content": prompt}]))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ChatOracle":
        return self  # a snapshot of a task shares it: it has no state of the episode


def chat_model(config: ChatConfig, samplers: list[Any], version: str) -> RetryingChatModel:
    """Return a model that is ready to answer.

    Args:
        config: of the model.
        samplers: actors that serve it; unused with an endpoint.
        version: of the served weights.
    """
    model: ChatModel = (
        Endpoint(config) if config.endpoint else ServedChatModel(config, samplers, version)
    )
    return RetryingChatModel(model, config)
