"""Instruct models that answer messages: served by sampler actors of ours, or by any server that
speaks OpenAI's API. Oracles, buyers and prompted players are made of them.
"""

import hashlib
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
import ray

from actors.engine import Decoding, Request, SamplerConfig, SamplerStale
from actors.replies import spoken
from actors.sampler import Contexts
from lmrl.errors import RunError, UsageError
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Used

log = logging.getLogger(__name__)

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


class Reply(NamedTuple):
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

    def reply(self, messages: Sequence[Message], seed: int = 0) -> Reply:
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


TURN_TOKENS = 8
"""What the role of a message and its marks cost, at most, in the usual chat templates."""

_PIECE = re.compile(r"\d|[^\W\d]{1,5}|[^\w\s]|\n")
"""What is about a token in the usual tokenizers: five letters, a digit, a mark."""


def chat_name(model: str) -> str:
    """Return the name of a model directory for the record."""
    return Path(model).name


def weights_version(folder: Path) -> str:
    """Return a fingerprint of a checkpoint's weights, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UsageError(f"{folder} has no .safetensors weights")
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


class Served:
    """A model behind sampler actors.

    Args:
        config: of the model; `model` is a directory.
        samplers: actors that serve it; the first is asked, the others stand in when it fails.
        version: of its weights, for the record.
    """

    def __init__(self, config: ChatConfig, samplers: list[Any], version: str) -> None:
        from transformers import AutoTokenizer

        self.config, self.samplers = config, samplers
        self.name, self.version = chat_name(config.model), version
        self.tokenizer = AutoTokenizer.from_pretrained(config.model)
        self.decoding = Decoding(max_tokens=config.max_tokens, temperature=config.temperature)
        self.clients = threading.local()
        self.lock = threading.Lock()

    def reply(self, messages: Sequence[Message], seed: int = 0) -> Reply:
        """Return one reply; see `ChatModel`."""
        retries = 0
        while True:
            try:
                return Reply(self._reply(messages, seed), retries)
            except ReplyTimeout as late:
                if retries == self.config.retries:
                    raise ReplyTimeout(str(late), retries) from late
                retries += 1

    def _reply(self, messages: Sequence[Message], seed: int) -> str:
        with self.lock:  # its padding and truncation state make the tokenizer one thread's
            ids = self._ids(messages)
        room = self.config.context - self.config.max_tokens
        contexts = Contexts.pack([Request(0, ids[-room:], seed)])
        sampler, client = self._client()
        try:
            answer = sampler.generate.remote(client, contexts, self.decoding)
            replies = ray.get(answer, timeout=self.config.timeout)
        except (ray.exceptions.RayActorError, SamplerStale, ray.exceptions.GetTimeoutError) as bad:
            sampler.forget.remote(client)
            # A new name elsewhere, so that a late answer to the old one is never taken.
            self.clients.attempt += 1
            raise ReplyTimeout(f"{self.name} did not answer: {bad}") from bad
        ((_, said),) = replies.unpack()
        with self.lock:
            text: str = self.tokenizer.decode(said.ids, skip_special_tokens=True)
        return text

    def size(self, messages: Sequence[Message]) -> int:
        """Return how many tokens messages have."""
        with self.lock:
            return len(self._ids(messages))

    def _ids(self, messages: Sequence[Message]) -> np.ndarray:
        chat = list(messages)
        if self.tokenizer.chat_template is None:
            text = "\n".join(message["content"] for message in chat)
            return np.array(self.tokenizer.encode(text), np.int32)
        ids = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_dict=False, tokenize=True
        )
        return np.array(ids, np.int32)

    def _client(self) -> tuple[Any, str]:
        attempt: int = getattr(self.clients, "attempt", 0)
        self.clients.attempt = attempt
        process = ray.get_runtime_context().get_worker_id()
        name = f"chat/{process}/{id(self)}/{threading.get_ident()}/{attempt}"
        return self.samplers[attempt % len(self.samplers)], name


REPLACED: Mapping[str, str | None] = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "seed": None,
}
"""Parameters that not every model takes, and what it takes instead; None is nothing."""

_UNSUPPORTED = re.compile(
    r"unsupported|not support|not permitted|not allowed|extra_forbidden|unrecogni[sz]ed|unknown"
    r"|deprecated|only the default",
    re.IGNORECASE,
)
_SHOWN = 300
"""Letters of a server's words in a message."""


class Endpoint:
    """A model behind a server with OpenAI's API, asked by OpenAI's own client.

    The client asks again after 408, 409, 429, 5xx and lost connections, as `ChatConfig.retries`
    says, and honours Retry-After up to two minutes. Parameters that the model refuses by name are
    left out or replaced (`REPLACED`) from then on; any other refusal ends the request.

    Args:
        config: of the model; `endpoint` is given.
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

    def reply(self, messages: Sequence[Message], seed: int = 0) -> Reply:
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
                return Reply(self._text(answer.parse()), answer.retries_taken)
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
        """Ask without a parameter from now on; requests of other threads may be on the way."""
        with self.lock:
            if parameter in self.refused:
                return
            self.refused |= {parameter}
        log.warning(
            "%s of %s refuses %s; it is asked %s from now on",
            self.name,
            self.config.endpoint,
            parameter,
            f"with {REPLACED[parameter]}" if REPLACED[parameter] else "without",
        )

    def _text(self, answer: Any) -> str:
        """Return the text of an answer with status 200, which still may be anything."""
        choices = getattr(answer, "choices", None)
        if isinstance(choices, list):
            # No choice, or no content: the model said nothing, and whoever asked counts that.
            message = getattr(choices[0], "message", None) if choices else None
            content = getattr(message, "content", None)
            return content if isinstance(content, str) else ""
        dumped = answer if isinstance(answer, str) else getattr(answer, "model_extra", None)
        raise RequestRefused(
            f"{self.config.endpoint} answered with no chat completion but {_short(str(dumped))}; "
            "give the base URL of OpenAI's API, which mostly ends in /v1"
        )

    def size(self, messages: Sequence[Message]) -> int:
        """Return an estimate: the tokenizer of the server is not known here."""
        return sum(TURN_TOKENS + len(_PIECE.findall(message["content"])) for message in messages)


def _parameters(wanted: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """Return the parameters of a request, without those that are refused."""
    named = ((REPLACED[n] if n in refused else n, value) for n, value in wanted.items())
    return {name: value for name, value in named if name}


def _unsupported(error: Any) -> str | None:
    """Return the parameter that a model does not take at all, by the server's error.

    A value out of range is no such case: leaving it out would ask for something else.
    """
    if error.status_code not in (400, 422):
        return None
    said = f"{error.code} {error.message}"
    if not _UNSUPPORTED.search(said):
        return None
    # Of the names in a message the first is refused; the next is what to use instead.
    named = [name for name in REPLACED if re.search(rf"\b{name}\b", said)]
    if error.param in REPLACED:
        return str(error.param)
    return min(named, key=said.index, default=None)


def _words(error: Any) -> str:
    """Return what a server said with an error."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said or error.message)


def _short(words: str) -> str:
    """Return the begin of a server's words in one line."""
    line = " ".join(words.split())
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "...")


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
    model: ChatModel = Endpoint(config) if config.endpoint else Served(config, samplers, version)
    return RetryingChatModel(model, config)
