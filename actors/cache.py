"""The size of a sampler's key-value cache: what its sequences need, and no more."""

from math import ceil
from pathlib import Path
from typing import Any

from actors.config import SamplerConfig

GROUPS = 2
"""Factor of models whose layers differ in their window: vLLM gives each kind blocks of its own."""


def cache_bytes(
    checkpoint: Path, config: SamplerConfig, context: int, limit: int, trunks: int = 1
) -> int:
    """Return the size of the cache of each of the engine's processes in bytes.

    It has room for every sequence, and is at most `limit`. It is at least one sequence of the whole
    context, without which vLLM does not start.

    Args:
        checkpoint: checkpoint directory, whose configuration has the model's shape.
        config: settings of the engine.
        context: largest number of tokens of context and action together.
        limit: largest size, in bytes.
        trunks: number of language models that run for each token.
    """
    from transformers import AutoConfig

    shape: Any = AutoConfig.from_pretrained(str(checkpoint)).get_text_config()
    heads = getattr(shape, "num_key_value_heads", None) or shape.num_attention_heads
    heads = max(1, heads // config.tensor_parallel)
    size = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    each = 2 if config.dtype == "bfloat16" else 4
    token = 2 * trunks * shape.num_hidden_layers * heads * size * each
    if getattr(shape, "sliding_window", None):
        token *= GROUPS
    # Two blocks more than the context: one that is begun, and one that vLLM keeps empty.
    sequence = (ceil(context / config.block_size) + 2) * config.block_size * token
    return max(sequence, min(sequence * config.max_sequences, limit))


def free_for_cache(checkpoint: Path, config: SamplerConfig) -> int:
    """Return how much of the engine's share of its GPU the weights leave to the cache, in bytes."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    weights = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    return int(config.gpu_memory * total) - weights // config.tensor_parallel
