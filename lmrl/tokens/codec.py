"""`Codec`: text to tokens and back, the only place where the two meet.

Every item of an episode is encoded on its own, without special tokens, and the pieces are
concatenated. Text that looks like a special token stays plain text: what an oracle or a user says
cannot end a context or forge a role. Sampled tokens are decoded, never encoded again.

A codec has a format (`lmrl.tokens.format`), which says what a model reads around the texts of an
episode: nothing, or the messages of a chat.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lmrl.errors import UsageError
from lmrl.tokens.format import Chat, Format, FormatConfig, Plain
from lmrl.tokens.template import Message, Render, Template, Uncuttable, cut
from lmrl.trajectory import NO_IDS, Ids, Trajectory, Turn


def fingerprint_of(backend: Any) -> str:
    """Return the fingerprint of a tokenizer, after it was set to encode as a `Codec` does.

    Args:
        backend: tokenizer of the library `tokenizers`.
    """
    backend.encode_special_tokens = True
    backend.no_padding()
    backend.no_truncation()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()[:16]


class Codec:
    """A tokenizer and a format.

    Args:
        backend: tokenizer of the library `tokenizers`.
        end_id: id of end-of-text; None if the tokenizer has none.
        config: settings of the format; None is plain text.
        render: function that renders messages with the checkpoint's chat template; None if it has
            none.
        ends: ids of tokens that end a reply of a chat, beside end-of-text.

    Raises:
        UsageError: if the chat template is missing or cannot be cut into pieces.
    """

    def __init__(
        self,
        backend: Any,
        end_id: int | None = None,
        config: FormatConfig | None = None,
        render: Render | None = None,
        ends: tuple[int, ...] = (),
    ) -> None:
        self._backend = backend
        self.fingerprint = fingerprint_of(backend)
        # Not the number of tokens: some tokenizers skip ids.
        self.vocab_size: int = 1 + max(backend.get_vocab().values())
        self.end_id = end_id
        self._encode = lru_cache(maxsize=65536)(self._encode_now)
        self.format: Format = self._format(config or FormatConfig(), render, ends)

    @classmethod
    def load(cls, path: str | Path, config: FormatConfig | None = None) -> "Codec":
        """Return the codec of a checkpoint directory.

        `tokenizer.json` is read without transformers, which takes seconds to load; only a chat
        template needs it.

        Args:
            path: checkpoint directory.
            config: settings of the format; None is plain text.

        Raises:
            UsageError: if there is no tokenizer in it, or its chat template cannot be used.
        """
        from tokenizers import Tokenizer

        folder = Path(path)
        try:
            backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
            settings = _json_object(folder / "tokenizer_config.json")
        except Exception as error:  # the library raises bare exceptions
            raise UsageError(
                f"no tokenizer could be read from {path}: {error}; a checkpoint directory needs "
                "tokenizer.json and tokenizer_config.json"
            ) from error
        end = settings.get("eos_token")
        end_id = backend.token_to_id(end["content"] if isinstance(end, dict) else end or "")
        has_template = (folder / "chat_template.jinja").exists() or settings.get("chat_template")
        wants_template = config is not None and config.kind != "plain" and has_template
        render = _renderer(folder, config.thinking) if config and wants_template else None
        return cls(backend, end_id, config, render, _ends(folder))

    def _format(self, config: FormatConfig, render: Render | None, ends: tuple[int, ...]) -> Format:
        if config.kind == "plain" or (config.kind == "auto" and render is None):
            return Plain(self)
        if render is None:
            raise UsageError(
                "model.format is chat, and the tokenizer of this checkpoint has no chat template; "
                "set model.format plain, or add chat_template.jinja to the checkpoint"
            )
        own = () if self.end_id is None else (self.end_id,)
        special = self._backend.get_added_tokens_decoder()
        try:
            template = Template(
                cut(render),
                render,
                self.encode,
                self.encode_markup,
                lambda token: token in special,
                (*own, *ends),
            )
        except Uncuttable as error:
            raise UsageError(
                f"the chat template of this checkpoint cannot be used: {error}; set model.format "
                "plain, or choose another checkpoint"
            ) from error
        # Episodes in another format have other tokens.
        made = repr((self.fingerprint, config.system, config.thinking, template.pieces))
        self.fingerprint = hashlib.sha256(made.encode()).hexdigest()[:16]
        return Chat(self, template, config)

    @cached_property
    def _reader(self) -> Any:
        from tokenizers import Tokenizer

        reader = Tokenizer.from_str(self._backend.to_str())
        reader.encode_special_tokens = False
        return reader

    def encode_markup(self, text: str) -> Ids:
        """Return the tokens of a chat template's own text, in which special tokens are read."""
        return np.array(self._reader.encode(text, add_special_tokens=False).ids, np.int32)

    def _encode_now(self, text: str) -> Ids:
        ids = np.array(self._backend.encode(text, add_special_tokens=False).ids, np.int32)
        ids.flags.writeable = False
        return ids

    def encode(self, text: str) -> Ids:
        """Return the tokens of `text` `[C]`, read-only; short texts are remembered."""
        return self._encode(text) if len(text) < 4096 else self._encode_now(text)

    def decode(self, ids: Ids, special: bool = False) -> str:
        """Return the text of tokens; bytes that are no valid text become U+FFFD.

        Args:
            ids: tokens `[A]`.
            special: whether special tokens are a part of the text.
        """
        text: str = self._backend.decode(ids.tolist(), skip_special_tokens=not special)
        return text

    def tokens_with(self, stop: str) -> list[int]:
        """Return the ids of the tokens that contain a text, and of end-of-text."""
        ids = {i for i in range(self.vocab_size) if stop in self._backend.decode([i])}
        return sorted(ids | ({self.end_id} if self.end_id is not None else set()))

    def text_ids(self) -> set[int]:
        """Return every token that text may be encoded to, which are all but the special ones."""
        added = self._backend.get_added_tokens_decoder().items()
        special = {number for number, token in added if token.special}
        return set(self._backend.get_vocab().values()) - special

    def lines(self) -> dict[int, str]:
        """Return the tokens that are a whole line each, see `train_tokenizer`."""
        added = self._backend.get_added_tokens_decoder().items()
        return {number: token.content for number, token in added if not token.special}

    def read(self, trajectory: Trajectory) -> Trajectory:
        """Return an episode with this codec's tokens.

        What this codec's own policy sampled is returned as it is. Data from elsewhere, scripted
        players for example, are encoded item by item.
        """
        if trajectory.tokenizer == self.fingerprint:
            return trajectory
        from lmrl.tasks import instructions_of

        form = self.format
        instructed = form.instructed
        own = trajectory.task, trajectory.options, trajectory.info
        rules = instructions_of(*own) if instructed else ""
        opening, resuming = form.beginning(rules)
        turns: list[Turn] = []
        action = None
        for turn in trajectory.turns:
            ids, lead = form.observation(turn.observation, action)
            action = form.action(turn.action)
            no_model = np.zeros(len(action), np.float32), np.full(len(action), -1, np.int32)
            turns.append(
                replace(
                    turn,
                    observation_ids=ids,
                    lead=lead,
                    action_ids=action,
                    logprobs=no_model[0],
                    versions=no_model[1],
                )
            )
        final = form.observation(trajectory.final, action) if trajectory.final else (NO_IDS, 0)
        return replace(
            trajectory,
            turns=tuple(turns),
            final_ids=final[0],
            final_lead=final[1],
            tokenizer=self.fingerprint,
            opening=opening,
            resuming=resuming,
        )


def _json_object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} does not hold an object")
    return found


def _renderer(folder: Path, thinking: bool) -> Render:
    """Return a function that renders messages with a checkpoint's chat template.

    Raises:
        UsageError: if transformers cannot read the tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # the libraries raise many kinds, some of them bare
        first = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UsageError(f"the chat template of {folder} could not be read: {first}") from error

    def render(chat: Sequence[Message]) -> str:
        text: str = tokenizer.apply_chat_template(
            list(chat), tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )
        return text

    return render


def _ends(folder: Path) -> tuple[int, ...]:
    """Return the ids with which a checkpoint's replies end, by its generation_config.json."""
    try:
        ends = _json_object(folder / "generation_config.json").get("eos_token_id")
    except (OSError, ValueError):
        return ()
    found = ends if isinstance(ends, list) else [ends]
    return tuple(end for end in found if isinstance(end, int))
