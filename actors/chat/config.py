"""What is asked of an instruct model, what it answers, and how it is configured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, Protocol

from actors.config import SamplerConfig
from lmrl.errors import RunError
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Used

Message = Mapping[str, str]
"""`role` (system, user, assistant) and `content`."""


class ReplyTimeout(RunError):
    """A model did not answer within its time, however often it was asked.

    Args:
        message: for the user.
        retries: how often it was asked again.
    """

    def __init__(self, message: str, retries: int = 0) -> None:
        super().__init__(message)
        self.retries = retries


class RequestRefused(RunError):
    """A server refuses a request, and would refuse it again."""


class ChatReply(NamedTuple):
    """What came of asking a model.

    Attributes:
        text: of the reply; empty if it had none.
        retries: how often it was asked again.
    """

    text: str
    retries: int = 0


_SERVED = Used("oracle.served", "where oracle.model is served here, without oracle.endpoint")


@dataclass(frozen=True)
class ChatConfig:
    """An instruct model.

    Attributes:
        model: a checkpoint directory, a `.gguf` file or `smollm2`: served by sampler actors of its
            own. With `endpoint` it is the model's name there.
        endpoint: base URL of a server with OpenAI's API, like `http://localhost:8000/v1`; its key
            is read from OPENAI_API_KEY.
        max_tokens: longest reply.
        temperature: 0 is greedy, and makes equal prompts get equal replies.
        context: most tokens of prompt and reply.
        timeout: seconds for one reply.
        retries: how often a reply that did not come is asked for again. An endpoint is asked after
            the pause that it names, or else after pauses of 0.5 to 8 seconds, each twice as long.
        cache: replies that are kept for equal prompts; only greedy ones are.
        at_once: replies that a simulator waits for at one time.
        cpus, gpus: of a sampler actor for it.
        sampler: the engine that serves it.
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
        """Whether sampler actors of this run serve it."""
        return bool(self.model) and self.endpoint is None


class ChatModel(Protocol):
    """Answers messages. Calls may come from many threads."""

    name: str
    version: str

    def reply(self, messages: Sequence[Message], seed: int = 0) -> ChatReply:
        """Return one reply.

        Raises:
            ReplyTimeout: if none came in time.
            RequestRefused: if asking again is of no use.
        """
        ...

    def size(self, messages: Sequence[Message]) -> int:
        """Return how many tokens messages have, or an estimate that is seldom too low."""
        ...


@dataclass
class ChatUsage:
    """What was asked of a model.

    Attributes:
        replies: given, those from the cache included.
        cached: of these, from the cache.
        retries: replies that were asked for again.
        timeouts: replies that never came.
        empty: replies without a text, like that of a model which spent its limit on thoughts.
    """

    replies: int = 0
    cached: int = 0
    retries: int = 0
    timeouts: int = 0
    empty: int = 0
