"""Rows that begin alike: their common first tokens are computed once.

Contexts of a chat model all begin with the same system message. Attention is causal, so the keys
and values of these tokens are equal in every row.
"""

from typing import Any

import torch
from torch import Tensor

SHORTEST = 32
"""Smallest number of common tokens for which a second call of the model is worth its time."""


def shared_prefix(tokens: Tensor) -> int:
    """Return how many first tokens of all rows to compute once; 0 if it would save little.

    Args:
        tokens: token ids `[R, T]`.
    """
    rows, width = tokens.shape
    if rows == 1:
        return 0
    same = (tokens == tokens[0]).all(0)
    # One token is left to every row, so that each has a call of its own.
    common = min(int(same.long().cumprod(0).sum()), width - 1)
    saved = common * (rows - 1)
    return common if common >= SHORTEST and 4 * saved >= rows * width else 0


def with_shared_prefix(model: Any, tokens: Tensor, prefix: int) -> Tensor:
    """Return the last hidden states `[R, T, H]`, with the first tokens computed once.

    Args:
        model: Hugging Face model without its head.
        tokens: token ids `[R, T]`, equal in all rows up to `prefix`.
        prefix: number of common tokens, at least 1 and below T.

    Raises:
        ValueError: if the model's cache does not hold the keys and values of all tokens.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    first = model(input_ids=tokens[:1, :prefix], use_cache=True)
    cache = first.past_key_values
    if not isinstance(cache, DynamicCache) or any(
        type(x) is not DynamicLayer for x in cache.layers
    ):
        raise ValueError("a cache that does not keep every key and value")
    cache.batch_repeat_interleave(len(tokens))
    rest = model(input_ids=tokens[:, prefix:], past_key_values=cache, use_cache=True)
    return torch.cat([first[0].expand(len(tokens), -1, -1), rest[0]], 1)
