"""Token ids without a meaning: the surplus rows of a padded embedding are never sampled."""

from functools import partial
from typing import Any

from torch import Tensor


def leave_out_surplus(model: Any, tokens: int) -> None:
    """Give token ids from `tokens` on the probability 0, in samples and in scores of prompts.

    The logits are changed in place, before vLLM's sampler. That costs one write of the surplus
    columns for each step. Settings of requests, like allowed tokens, cost a mask of the whole
    vocabulary for each sequence, and do not change the scores of prompts.

    Args:
        model: vLLM's model.
        tokens: number of token ids that have a probability.
    """
    from vllm.model_executor.layers.logits_processor import LogitsProcessor

    for module in model.modules():
        if isinstance(module, LogitsProcessor):
            module.register_forward_hook(partial(_leave_out, tokens))


def _leave_out(tokens: int, module: Any, inputs: Any, logits: Tensor | None) -> None:
    if logits is not None:  # else another process has the logits
        logits[..., tokens:] = float("-inf")
