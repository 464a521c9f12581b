"""Train the tokenizer of a small model, and name tokenizers' classes for every reader."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

END_OF_TEXT = "<|endoftext|>"

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
"""A line with its end, a newline and nothing else: the tasks split lines so."""


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
    """Name a tokenizer's class and special tokens in a checkpoint directory as transformers 4 knows
    them too.

    Transformers 4 has another meaning for `extra_special_tokens`, and fails on a list.
    """
    file = path / "tokenizer_config.json"
    if not file.exists():
        return
    config = json.loads(file.read_text())
    before = dict(config)
    name = config.get("tokenizer_class")
    if name in PORTABLE:
        config["tokenizer_class"] = PORTABLE[name]
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    if config != before:
        file.write_text(json.dumps(config, indent=2) + "\n")
