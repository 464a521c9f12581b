"""`Codec`: text to tokens and back, the only place where the two meet.

Every item of an episode is encoded on its own, without special tokens, and the pieces are
concatenated. Text that looks like a special token stays plain text: what an oracle or a user says
cannot end a context or forge a role. Sampled tokens are decoded, never encoded again.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lmrl.errors import UsageError
from lmrl.trajectory import NO_IDS, Ids, Trajectory, Turn

END_OF_TEXT = "<|endoftext|>"

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
"""A line with its end, a newline and nothing else: the tasks split lines so."""


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
    """A tokenizer with the house's rules.

    Args:
        tokenizer: any fast Hugging Face tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError(
                f"{type(tokenizer).__name__} is not a fast tokenizer; convert the checkpoint so "
                "that it has a tokenizer.json"
            )
        self._backend = tokenizer.backend_tokenizer
        self.fingerprint = fingerprint_of(self._backend)
        self.vocab_size: int = len(tokenizer)
        self.end_id: int | None = tokenizer.eos_token_id
        self._encode = lru_cache(maxsize=65536)(self._encode_now)

    @classmethod
    def load(cls, path: str | Path) -> "Codec":
        """Return the codec of a checkpoint directory.

        Raises:
            UsageError: if there is no tokenizer in it.
        """
        from transformers import AutoTokenizer

        try:
            return cls(AutoTokenizer.from_pretrained(str(path)))
        except UsageError:
            raise
        except Exception as error:  # the libraries raise many kinds, some of them bare
            first = (str(error).strip() or type(error).__name__).split("\n")[0]
            raise UsageError(
                f"no tokenizer could be read from {path}: {first}; a checkpoint directory needs "
                "tokenizer.json and tokenizer_config.json"
            ) from error

    def _encode_now(self, text: str) -> Ids:
        ids = np.array(self._backend.encode(text, add_special_tokens=False).ids, np.int32)
        ids.flags.writeable = False
        return ids

    def encode(self, text: str) -> Ids:
        """Return the tokens of `text` `[C]`, read-only; short texts are remembered."""
        return self._encode(text) if len(text) < 4096 else self._encode_now(text)

    def decode(self, ids: Ids) -> str:
        """Return the text of tokens; bytes that are no valid text become U+FFFD."""
        text: str = self._backend.decode(ids.tolist(), skip_special_tokens=True)
        return text

    def stop_ids(self, stop: str) -> list[int]:
        """Return every token that ends an action: those that contain `stop`, and end-of-text."""
        ids = {i for i in range(self.vocab_size) if stop in self._backend.decode([i])}
        return sorted(ids | ({self.end_id} if self.end_id is not None else set()))

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
        turns = tuple(
            Turn(
                turn.observation,
                self.encode(turn.observation),
                turn.span,
                turn.action,
                action := self.encode(turn.action),
                np.zeros(len(action), np.float32),
                np.full(len(action), -1, np.int32),
                turn.reward,
            )
            for turn in trajectory.turns
        )
        return Trajectory(
            task=trajectory.task,
            options=trajectory.options,
            seed=trajectory.seed,
            turns=turns,
            ending=trajectory.ending,
            final=trajectory.final,
            final_ids=self.encode(trajectory.final) if trajectory.final else NO_IDS,
            final_span=trajectory.final_span,
            player=trajectory.player,
            tokenizer=self.fingerprint,
            info=trajectory.info,
        )


def train_tokenizer(texts: Iterable[str], size: int, path: Path, lines: int = 0) -> None:
    """Train a byte-level BPE on `texts` and write it to the checkpoint directory `path`.

    Args:
        texts: what the task says and hears; every other text still encodes, byte by byte.
        size: most tokens the vocabulary may have, the 256 bytes and end-of-text included.
        path: an existing directory.
        lines: how many of the most frequent lines get a token of their own besides; of equally
            frequent ones the first of the alphabet.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = list(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if lines:
        counts = Counter(line for text in texts for line in _LINE.findall(text))
        ranked = sorted((line for line in counts if len(line) > 1), key=lambda x: (-counts[x], x))
        tokenizer.add_tokens([AddedToken(x, normalized=False) for x in ranked[:lines]])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT
    ).save_pretrained(str(path))
    name_portable_class(path)


PORTABLE = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""Class names that only transformers 5 knows, and what every version knows them by."""


def name_portable_class(path: Path) -> None:
    """Name a tokenizer's class in a checkpoint directory as transformers 4 knows it too."""
    file = path / "tokenizer_config.json"
    if not file.exists():
        return
    config = json.loads(file.read_text())
    name = config.get("tokenizer_class")
    if name in PORTABLE:
        config["tokenizer_class"] = PORTABLE[name]
        file.write_text(json.dumps(config, indent=2) + "\n")
