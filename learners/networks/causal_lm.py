"""A causal language model of any architecture: hidden states, output embedding, precision."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learners.checkpoints.vocabulary import token_count
from learners.config import LoraConfig
from learners.networks.lora import add_adapters
from learners.networks.packing import PACKED, Packed, register
from learners.networks.prefix import shared_prefix, with_shared_prefix
from lmrl.errors import UsageError

log = logging.getLogger(__name__)


def at_least_float32(kind: torch.dtype) -> torch.dtype:
    """Return the type itself if it is float32 or float64, else float32."""
    return kind if kind in (torch.float32, torch.float64) else torch.float32


@dataclass(frozen=True)
class LogitMap:
    """The map cap · tanh(z / cap) · scale of logits z, as Gemma-2, Cohere and Granite use it.

    Attributes:
        cap: bound of the absolute logits, in nats; None does not bound them.
        scale: factor of the logits.
    """

    cap: float | None = None
    scale: float = 1.0

    @classmethod
    def of(cls, config: Any) -> "LogitMap":
        """Return the map of a Hugging Face configuration; the identity if it has none.

        Args:
            config: configuration with or without `final_logit_softcapping`, and with one of
                `logit_scale` (a factor), `lm_head_multiplier` (a factor) and `logits_scaling` (a
                divisor), or none of them.
        """
        scale = 1.0
        for name in ("logit_scale", "lm_head_multiplier"):
            scale *= getattr(config, name, None) or 1.0
        scale /= getattr(config, "logits_scaling", None) or 1.0
        return cls(getattr(config, "final_logit_softcapping", None), scale)

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the mapped logits, of the same shape and type."""
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits if self.scale == 1.0 else logits * self.scale


class CausalLM(nn.Module):
    """Any Hugging Face causal language model as trunk and head.

    Args:
        model: model from `AutoModelForCausalLM`.
        compute: type of matrix products and hidden states. With bfloat16, weights in float32 are
            cast when they are used (`torch.autocast`). Hidden states are rounded where a model with
            bfloat16 weights, like the sampler's, rounds them. Weights and gradients keep their
            type.
        tokens: number of token ids V that have a probability; None is every row of the output
            embedding. A padded embedding has more rows than its tokenizer has tokens, and the
            sampler leaves the same ids out (`actors.vocabulary`).
    """

    def __init__(
        self, model: Any, compute: torch.dtype = torch.float32, tokens: int | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.compute = compute
        self.tokens: int = tokens or model.get_output_embeddings().weight.shape[0]
        self.logit_map = LogitMap.of(model.config)
        self.packed = self.shares_prefix = False
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
    def output(self) -> nn.Linear:
        """The output embedding."""
        module: nn.Linear = self.model.get_output_embeddings()
        return module

    def untied_output(self) -> list[nn.Parameter]:
        """Return the parameters of the output embedding that are not the input embedding's too."""
        inputs = {id(p) for p in self.model.get_input_embeddings().parameters()}
        return [p for p in self.output.parameters() if id(p) not in inputs]

    def freeze_output(self) -> None:
        """Freeze the output embedding, in a model that is used as a trunk only.

        ZeRO fails on trainable parameters without a gradient. A tied embedding stays trainable,
        since it is the input embedding too.
        """
        for parameter in self.untied_output():
            parameter.requires_grad_(False)

    def recompute_activations(self) -> None:
        """Let the backward pass compute the activations of each layer again."""
        self.model.gradient_checkpointing_enable({"use_reentrant": False})
        # Transformers recomputes in train mode only, which differs in dropout alone: that is 0.
        self.model.train()

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        if self.compute == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, self.compute)

    def pack_rows(self) -> None:
        """Compute rows without padding from now on, if the model's attention can be replaced.

        That is tried on a few tokens. A model that does not pass `Packed.attention` on to its
        layers, or whose layers do more with attention's logits, computes padded rows as before.
        """
        register()
        before = self.model.config._attn_implementation
        if before == "eager" or not self.model._can_set_attn_implementation():
            return
        self.packed = self._agrees(partial(self.model.set_attn_implementation, PACKED))
        if not self.packed:
            self.model.set_attn_implementation(before)

    def share_prefix(self) -> None:
        """Compute the common first tokens of all rows once from now on, if the model's key-value
        cache allows it; that is tried on a few tokens."""
        self.shares_prefix = True
        self.shares_prefix = self._agrees(lambda: None, prefix=1)

    @torch.no_grad()
    def _agrees(self, change: Callable[[], Any], **how: Any) -> bool:
        """Return whether the model computes the same hidden states after a change of its mode."""
        tokens = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 4, 3, 0, 0]]) % self.tokens
        lengths = torch.tensor([6, 4])
        real = torch.arange(6) < lengths[:, None]
        with self._precision(tokens.device):
            expected: Tensor = self.model.base_model(input_ids=tokens, use_cache=False)[0][real]
            try:
                change()
                if how:
                    found = with_shared_prefix(self.model.base_model, tokens, **how)[real]
                else:
                    found = self._packed(tokens, lengths)[real]
            except (TypeError, ValueError, AttributeError, RuntimeError) as error:
                log.info("%s: %s", type(self.model).__name__, error)
                return False
        close = 1e-4 if self.compute == torch.float32 else 0.05
        return bool((found - expected).abs().max() <= close * expected.abs().max())

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the last hidden states after the final norm; see `LanguageModel.trunk`."""
        with self._precision(tokens.device):
            if self.packed:
                hidden = self._packed(tokens, lengths)
            elif self.shares_prefix and (prefix := shared_prefix(tokens)):
                hidden = with_shared_prefix(self.model.base_model, tokens, prefix)
            else:
                hidden = self.model.base_model(input_ids=tokens, use_cache=False)[0]
        return hidden if self.compute == torch.float32 else hidden.to(self.compute)

    def _packed(self, tokens: Tensor, lengths: Tensor | None) -> Tensor:
        rows = Packed.of(tokens, lengths)
        found = self.model.base_model(
            input_ids=rows.tokens,
            position_ids=rows.positions,
            use_cache=False,
            **rows.attention(),
        )
        return rows.unpack(found[0][0])

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]`, after the architecture's own map of them."""
        weight: Tensor = self.output.weight
        bias: Tensor | None = self.output.bias
        if self.tokens < len(weight):
            weight = weight[: self.tokens]
            bias = None if bias is None else bias[: self.tokens]
        with self._precision(states.device):
            # Not the module, which has hooks: under ZeRO 3 `PerToken` gathers its parameters.
            return self.logit_map(F.linear(states, weight, bias))


def _rounded_norm(self: nn.Module, *inputs: Any, **options: Any) -> Any:
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
        normed = type(self).forward(self, *inputs, **options)
    finally:
        for parameter, data in zip(own, exact, strict=True):
            parameter.data = data
    return normed


def load_causal_lm(
    path: str | Path,
    compute: torch.dtype = torch.float32,
    weights: torch.dtype = torch.float32,
    lora: LoraConfig | None = None,
) -> CausalLM:
    """Return the language model of a checkpoint directory, without dropout.

    Old and new log-probabilities have to come from the same function. So every dropout rate of the
    configuration is set to 0, and train and eval modes do not differ.

    Args:
        path: checkpoint directory.
        compute: type of matrix products and hidden states, see `CausalLM`.
        weights: type of the weights; float32 if they are trained.
        lora: adapters to add, in float32; None adds none, and a rank of 0 neither.

    Raises:
        UsageError: if the directory has no model, or one that `check_head` refuses.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    try:
        config = AutoConfig.from_pretrained(str(path))
        for name, value in list(config.to_dict().items()):
            if ("drop" in name) and isinstance(value, float):
                setattr(config, name, 0.0)
        model = AutoModelForCausalLM.from_pretrained(
            str(path), config=config, dtype=weights, attn_implementation=attention_of(config)
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"no language model could be read from {path}: {error}") from error
    # Nothing is sampled here, and settings that are allowed to be read may not be saved again.
    model.generation_config = GenerationConfig()
    tokens = token_count(Path(path))
    check_head(CausalLM(model, tokens=tokens))
    if lora is not None and lora.rank:
        add_adapters(model, lora)
    return CausalLM(model, compute, tokens)


def attention_of(config: Any) -> str | None:
    """Return the implementation of attention that a configuration needs; None is the default.

    The default ignores a soft cap of attention logits (Gemma-2), and the sampler applies it.
    """
    return "eager" if getattr(config, "attn_logit_softcapping", None) else None


@torch.no_grad()
def check_head(wrapped: CausalLM) -> None:
    """Refuse a model whose logits `CausalLM` does not reproduce, by a test input.

    Raises:
        UsageError: if trunk and head together are not the model.
    """
    model = wrapped.model
    probe = torch.arange(4)[None] % wrapped.tokens
    direct = model(input_ids=probe).logits[0, :, : wrapped.tokens].float()
    ours = wrapped.head(wrapped.trunk(probe)[0]).float()
    if not torch.allclose(direct, ours, atol=1e-3, rtol=1e-3):
        raise UsageError(
            f"{type(model).__name__} computes its logits in a way that the learner does not "
            "support; choose an architecture whose logits are a linear map of the last hidden "
            "state, with or without a soft cap and a factor"
        )
