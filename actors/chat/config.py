"""Instruct models: messages, replies, errors, usage, and configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, Protocol

from actors.config import SamplerConfig
from lmrl.errors import RunError
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Used

Message = Mapping[str, str]
"""A message with `role` (system, user, assistant) and `content`."""


class ReplyTimeout(RunError):
    """A model did not reply in time, after all retries.

    Args:
        message: text for the user.
        retries: number of retries.
    """

    def __init__(self, message: str, retries: int = 0) -> None:
        super().__init__(message)
        self.retries = retries


class RequestRefused(RunError):
    """A server refused a request, and would refuse it again."""


class ChatReply(NamedTuple):
    """A reply of a model.

    Attributes:
        text: text of the reply; empty if the reply had none.
        retries: number of retries before the reply came.
    """

    text: str
    retries: int = 0


_SERVED = Used("oracle.served", "where oracle.model is served here, without oracle.endpoint")


@dataclass(frozen=True)
class ChatConfig:
    """An instruct model.

    Attributes:
        model: checkpoint directory, `.gguf` file or `smollm2`, which sampler actors of its own
            serve. With `endpoint` it is the model's name on that server.
        endpoint: base URL of a server with OpenAI's API, like `http://localhost:8000/v1`. The API
            key is read from OPENAI_API_KEY. None serves the model here.
        max_tokens: largest number of tokens of a reply.
        temperature: sampling temperature; 0 is greedy, which gives equal replies to equal prompts.
        context: largest number of tokens of prompt and reply together.
        timeout: time limit of one reply, in seconds.
        retries: number of retries of a missing reply. With an endpoint, the pause before a retry is
            the one that the server asks for, or else 0.5 to 8 seconds, doubled each time.
        cache: number of replies that are cached for equal prompts; only greedy replies are cached.
        at_once: number of replies that a simulator waits for at one time.
        cpus, gpus: number of CPUs and GPUs of one sampler actor for this model.
        sampler: settings of the engine that serves it.
    """

    model: str = ""
    endpoint: str | None = None
    max_tokens: Annotated[int, COUNT, Used("oracle.model")] = 32
    temperature: Annotated[float, NOT_NEGATIVE, Used("oracle.model")] = 0.0
    context: Annotated[int, COUNT, Used("oracle.model")] = 1024
    timeout: Annotated[float, POSITIVE, Used("oracle.model")] = 120.0
    retries: Annotated[int, NOT_NEGATIVE, Used("oracle.model")] = 4
    cache: Annotated[int, NOT_NEGATIVE, Used("oracle.model")] = 65536
    at_once: Annotated[int, COUNT, Used("oracle.model")] = 16
    cpus: Annotated[float, NOT_NEGATIVE, _SERVED] = 0.25
    gpus: Annotated[float, NOT_NEGATIVE, _SERVED] = 0.25
    sampler: Annotated[SamplerConfig, _SERVED] = field(
        default_factory=lambda: SamplerConfig(dtype="bfloat16", max_sequences=32)
    )

    @property
    def served(self) -> bool:
        """Whether sampler actors of this run serve the model."""
        return bool(self.model) and self.endpoint is None


class ChatModel(Protocol):
    """A model that replies to messages. It may be called from many threads."""

    name: str
    version: str

    def reply(self, messages: Sequence[Message], seed: int = 0) -> ChatReply:
        """Return one reply.

        Args:
            messages: chat, oldest message first.
            seed: seed of the sampling.

        Raises:
            ReplyTimeout: if no reply came in time.
            RequestRefused: if the server refused the request.
        """
        ...

    def size(self, messages: Sequence[Message]) -> int:
        """Return the number of tokens of messages, or an estimate that is rarely too low."""
        ...


@dataclass
class ChatUsage:
    """Counts of a model's replies.

    Attributes:
        replies: number of requested replies, including those from the cache.
        cached: number of replies from the cache.
        retries: number of retries.
        timeouts: number of replies that never came.
        empty: number of replies without text, for example if all allowed tokens were thoughts.
    """

    replies: int = 0
    cached: int = 0
    retries: int = 0
    timeouts: int = 0
    empty: int = 0
