"""The token ids of a checkpoint: those of its tokenizer, and those that its embedding has.

Many models have more rows in their embeddings than tokens, since sizes that are multiples of 64 are
faster. The surplus ids mean nothing. Learner and sampler give them no probability, so both have the
same distribution over `token_count` ids.
"""

import json
from pathlib import Path

from learners.checkpoints.initial import shape_of
from lmrl.errors import UsageError
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import Plain


def embedding_rows(path: Path) -> int | None:
    """Return the number of rows of a checkpoint's embedding; None if its configuration has none.

    Raises:
        UsageError: if `path` is not a checkpoint directory.
    """
    size = shape_of(path).get("vocab_size")
    return None if size is None else int(size)


def token_count(path: Path) -> int | None:
    """Return the number of token ids that a policy samples from; None if that is every row.

    Raises:
        UsageError: if `path` is not a checkpoint directory with a tokenizer.
    """
    rows = embedding_rows(path)
    tokens = Codec.load(path).vocab_size
    return tokens if rows is not None and tokens < rows else None


def check_vocabulary(path: Path, codec: Codec) -> None:
    """Refuse a checkpoint whose tokenizer does not fit its embedding, or that has no end-of-text.

    Args:
        path: checkpoint directory.
        codec: its tokenizer.

    Raises:
        UsageError: if so; the message has the sizes and the remedy.
    """
    rows = embedding_rows(path)
    if codec.end_id is None:
        raise UsageError(
            f"the tokenizer of {path} has no end-of-text token; name one as eos_token in "
            "tokenizer_config.json"
        )
    if rows is None:
        return
    # Special tokens beyond the embedding, like that of an image, are never written by a task.
    written = codec.text_ids() | {codec.end_id}
    if max(written) >= rows:
        raise UsageError(
            f"the tokenizer of {path} has token {max(written)} and its embedding {rows} rows; use "
            "the tokenizer that the model was trained with, or resize the embedding"
        )


def check_stop(path: Path, codec: Codec, stop: str) -> None:
    """Refuse a tokenizer of which no token holds the text that ends an action.

    Args:
        path: checkpoint directory.
        codec: its tokenizer.
        stop: text that ends an action.

    Raises:
        UsageError: if so; the message has the text.
    """
    # In a chat the end of the message ends an action.
    if isinstance(codec.format, Plain) and not set(codec.tokens_with(stop)) - {codec.end_id}:
        raise UsageError(
            f"no token of {path} contains {json.dumps(stop)}, which ends an action, so no action "
            "would end before rollouts.max_tokens; choose a model whose tokenizer has such a token"
        )
