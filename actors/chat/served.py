"""Instruct models that this run's sampler actors serve."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray

from actors.chat.config import ChatConfig, ChatReply, Message, ReplyTimeout
from actors.messages import Contexts, Decoding, Request, SamplerStale
from lmrl.errors import UsageError

TURN_TOKENS = 8
"""Largest number of tokens of a message's role and marks in common chat templates."""


def chat_name(model: str) -> str:
    """Return the name of a model directory for the record."""
    return Path(model).name


def weights_version(folder: Path) -> str:
    """Return a fingerprint of a checkpoint's weights, 12 hexadecimal digits.

    Raises:
        UsageError: if the folder has no `.safetensors` file.
    """
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UsageError(f"{folder} has no .safetensors weights")
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


class ServedChatModel:
    """A model behind sampler actors.

    Args:
        config: settings of the model; `model` is a directory.
        samplers: sampler actors that serve it. The first one is used; the others replace it when it
            fails.
        version: version of the model's weights, for the record.
    """

    def __init__(self, config: ChatConfig, samplers: list[Any], version: str) -> None:
        from transformers import AutoTokenizer

        self.config, self.samplers = config, samplers
        self.name, self.version = chat_name(config.model), version
        self.tokenizer = AutoTokenizer.from_pretrained(config.model)
        self.decoding = Decoding(max_tokens=config.max_tokens, temperature=config.temperature)
        self.clients = threading.local()
        self.lock = threading.Lock()

    def reply(self, messages: Sequence[Message], seed: int = 0) -> ChatReply:
        """Return one reply; arguments and errors are those of `ChatModel.reply`."""
        retries = 0
        while True:
            try:
                return ChatReply(self._reply(messages, seed), retries)
            except ReplyTimeout as late:
                if retries == self.config.retries:
                    raise ReplyTimeout(str(late), retries) from late
                retries += 1

    def _reply(self, messages: Sequence[Message], seed: int) -> str:
        with self.lock:  # the tokenizer's padding and truncation state is not thread-safe
            ids = self._ids(messages)
        limit = self.config.context - self.config.max_tokens
        contexts = Contexts.pack([Request(0, ids[-limit:], seed)])
        sampler, client = self._client()
        try:
            answer = sampler.generate.remote(client, contexts, self.decoding)
            replies = ray.get(answer, timeout=self.config.timeout)
        except (ray.exceptions.RayActorError, SamplerStale, ray.exceptions.GetTimeoutError) as bad:
            sampler.forget.remote(client)
            # Use another sampler under a new name, so that a late reply to the old one is ignored.
            self.clients.attempt += 1
            raise ReplyTimeout(f"{self.name} did not answer: {bad}") from bad
        ((_, reply),) = replies.unpack()
        with self.lock:
            text: str = self.tokenizer.decode(reply.ids, skip_special_tokens=True)
        return text

    def size(self, messages: Sequence[Message]) -> int:
        """Return the number of tokens of messages."""
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
