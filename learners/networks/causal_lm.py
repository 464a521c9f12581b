"""A causal language model of any architecture: hidden states, output embedding, precision."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def at_least_float32(kind: torch.dtype) -> torch.dtype:
    """Return the type itself if it is float32 or float64, else float32."""
    return kind if kind in (torch.float32, torch.float64) else torch.float32


class CausalLM(nn.Module):
    """Any Hugging Face causal language model as trunk and head, with weights in float32.

    Args:
        model: model from `AutoModelForCausalLM`.
        compute: type of matrix products and hidden states. With bfloat16 the weights are cast when
            they are used (`torch.autocast`). Hidden states are rounded where a model with bfloat16
            weights, like the sampler's, rounds them. Weights and their gradients stay in float32.
    """

    def __init__(self, model: Any, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model = model
        self.compute = compute
        if compute != torch.float32:
            for module in model.modules():
                own = list(module.parameters(recurse=False))
                if isinstance(module, nn.Embedding):
                    # The residual stream has the type of the embeddings.
                    module.register_forward_hook(lambda _, __, embedded: embedded.to(compute))
                elif own and all(p.dim() == 1 for p in own):
                    # A bound method, so that a copy of the model is bound to the copy's weights.
                    module.forward = MethodType(_rounded_norm, module)

    @property
    def output(self) -> nn.Module:
        """The output embedding."""
        module: nn.Module = self.model.get_output_embeddings()
        return module

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        if self.compute == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, self.compute)

    def trunk(self, tokens: Tensor) -> Tensor:
        """Return the last hidden states after the final norm `[R, T, H]`."""
        with self._precision(tokens.device):
            hidden: Tensor = self.model.base_model(input_ids=tokens, use_cache=False)[0]
        return hidden if self.compute == torch.float32 else hidden.to(self.compute)

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]`."""
        with self._precision(states.device):
            # `forward` skips the module's hooks: under ZeRO 3 `PerToken` gathers its parameters.
            logits: Tensor = self.output.forward(states)
        return logits


def _rounded_norm(self: nn.Module, states: Tensor) -> Tensor:
    """Run a norm with weights rounded to bfloat16, like those of a sampler of this type.

    Autocast runs norms in float32. Weights near 1 would then differ from the sampler's by up to
    0.4 %, and so would every value computed from the states. The gradient is that of the weights
    before rounding.
    """
    own = list(self.parameters(recurse=False))
    exact = [parameter.data for parameter in own]
    for parameter in own:
        parameter.data = parameter.data.bfloat16().to(parameter.dtype)
    try:
        normed: Tensor = type(self).forward(self, states)
    finally:
        for parameter, data in zip(own, exact, strict=True):
            parameter.data = data
    return normed


def load_causal_lm(path: str | Path, compute: torch.dtype = torch.float32) -> CausalLM:
    """Return the language model of a checkpoint directory, without dropout.

    Old and new log-probabilities have to come from the same function. So every dropout rate of the
    configuration is set to 0, and train and eval modes do not differ.

    Args:
        path: checkpoint directory.
        compute: type of matrix products and hidden states, see `CausalLM`; the weights are float32.

    Raises:
        UsageError: if the directory has no model, or a model whose logits are not
            `output embedding x last hidden state` (a test input is used to compare the two).
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from lmrl.errors import UsageError

    try:
        config = AutoConfig.from_pretrained(str(path))
        for name, value in list(config.to_dict().items()):
            if ("drop" in name) and isinstance(value, float):
                setattr(config, name, 0.0)
        model = AutoModelForCausalLM.from_pretrained(str(path), config=config, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise UsageError(f"no language model could be read from {path}: {error}") from error
    wrapped = CausalLM(model)
    probe = torch.arange(4)[None] % config.vocab_size
    with torch.no_grad():
        direct = model(input_ids=probe).logits[0].float()
        ours = wrapped.head(wrapped.trunk(probe)[0]).float()
    if not torch.allclose(direct, ours, atol=1e-3, rtol=1e-3):
        raise UsageError(
            f"{type(model).__name__} changes its logits after the output embedding, which the "
            "learner does not support; choose an architecture whose logits are a linear map of the "
            "last hidden state"
        )
    return wrapped if compute == torch.float32 else CausalLM(model, compute)
