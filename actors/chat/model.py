"""`RetryingChatModel`, which caches and counts replies, and the oracle that uses it."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from actors.chat.config import ChatConfig, ChatModel, ChatUsage, Message, ReplyTimeout
from actors.chat.endpoint import Endpoint
from actors.chat.served import ServedChatModel
from lmrl.tokens.replies import spoken

log = logging.getLogger(__name__)


class RetryingChatModel:
    """A model with a cache of greedy replies and counts of all replies.

    Args:
        model: model that replies and retries by itself.
        config: settings, of which the temperature and the size of the cache are used.
    """

    def __init__(self, model: ChatModel, config: ChatConfig) -> None:
        self.model, self.config = model, config
        self.name, self.version = model.name, model.version
        self.usage = ChatUsage()
        self.known: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self.lock = threading.Lock()

    def reply(self, messages: Sequence[Message], seed: int = 0) -> str:
        """Return the text of one reply; arguments and errors are those of `ChatModel.reply`."""
        key = tuple(f"{message['role']}:{message['content']}" for message in messages)
        greedy = self.config.temperature == 0
        with self.lock:
            self.usage.replies += 1
            if greedy and key in self.known:
                self.usage.cached += 1
                self.known.move_to_end(key)
                return self.known[key]
        text = self._ask(messages, seed)
        if greedy and text:  # an empty reply may come from a temporary fault of the server
            with self.lock:
                self.known[key] = text
                while len(self.known) > self.config.cache:
                    self.known.popitem(last=False)
        return text

    def _ask(self, messages: Sequence[Message], seed: int) -> str:
        try:
            reply = self.model.reply(messages, seed)
        except ReplyTimeout as late:
            with self.lock:
                self.usage.timeouts += 1
                self.usage.retries += late.retries
            raise
        with self.lock:
            self.usage.retries += reply.retries
            self.usage.empty += not reply.text.strip()
        return reply.text

    def size(self, messages: Sequence[Message]) -> int:
        """Return the number of tokens of messages; see `ChatModel.size`."""
        return self.model.size(messages)

    def take_usage(self) -> ChatUsage:
        """Return the usage since the last call of this method."""
        with self.lock:
            taken, self.usage = self.usage, ChatUsage()
        return taken


class ChatOracle:
    """A model as the oracle or buyer of a task: a function from a prompt to a reply.

    Args:
        model: model that replies.
    """

    def __init__(self, model: RetryingChatModel) -> None:
        self.model = model
        self.name, self.version = model.name, model.version

    def __call__(self, prompt: str, /) -> str:
        """Return the reply to a prompt, without thoughts and turn marks."""
        return spoken(self.model.reply([{"role": "user", "content": prompt}]))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ChatOracle":
        return self  # a snapshot of a task shares it, since it has no state of the episode


def chat_model(config: ChatConfig, samplers: list[Any], version: str) -> RetryingChatModel:
    """Return a model that is ready to reply.

    Args:
        config: settings of the model.
        samplers: sampler actors that serve it; not used with an endpoint.
        version: version of the served weights.
    """
    model: ChatModel = (
        Endpoint(config) if config.endpoint else ServedChatModel(config, samplers, version)
    )
    return RetryingChatModel(model, config)
