"""Low-rank adapters: W + (alpha / rank) B A, with trained A and B (LoRA; Hu et al. 2021,
arXiv:2106.09685, section 4.1), through the library `peft`.

The weights W of the language model are frozen. The sampler gets merged weights, one at a time, so
the learner never holds a merged copy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from learners.config import LoraConfig
from learners.networks.outputs import LanguageModel
from lmrl.errors import UsageError

ADAPTER = "default"
"""Name of the adapter inside peft's layers."""

BASE = ".base_layer."
"""Part of the names of adapted weights."""


class Weight(NamedTuple):
    """A weight that a sampler needs.

    Attributes:
        name: Hugging Face name, with or without a prefix.
        parameters: parameters from which it is computed.
        layer: peft's layer, if the weight is adapted; else None.
    """

    name: str
    parameters: list[nn.Parameter]
    layer: Any = None

    def tensor(self) -> Tensor:
        """Return the weight, merged in float32 if it is adapted; its parameters have to be
        whole."""
        plain = self.parameters[0].detach()
        if self.layer is None:
            return plain
        with torch.no_grad():
            delta: Tensor = self.layer.get_delta_weight(ADAPTER)
        return plain.to(delta.dtype) + delta


def add_adapters(model: Any, config: LoraConfig) -> None:
    """Add adapters to a language model in place, and freeze everything else.

    A begins random, from torch's generator, and B zero, so the model is unchanged at first.

    Args:
        model: model from `AutoModelForCausalLM`.
        config: settings of the adapters.

    Raises:
        UsageError: if peft is missing, or the model has no layer of these names.
    """
    try:
        import peft
    except ImportError as error:
        raise UsageError(
            "learner.lora needs the package peft; run 'pip install --no-deps peft accelerate'"
        ) from error

    every = config.targets == ("all-linear",)
    settings: Any = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules="all-linear" if every else list(config.targets),
        task_type="CAUSAL_LM",
    )
    try:
        peft.inject_adapter_in_model(settings, model, ADAPTER)
    except ValueError as error:
        first = str(error).strip().split("\n")[0]
        raise UsageError(
            f"learner.lora.targets {' '.join(config.targets)} cannot be adapted in "
            f"{type(model).__name__}: {first}"
        ) from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def weights_of(model: nn.Module) -> Iterator[Weight]:
    """Yield the weights of a model under their Hugging Face names, with or without adapters.

    Tied weights have one name only.
    """
    for name, parameter in model.named_parameters():
        if BASE in name:
            owner, _, rest = name.rpartition(BASE)
            layer: Any = model.get_submodule(owner)
            if rest == "weight":
                factors = [layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]
                yield Weight(f"{owner}.weight", [parameter, *factors], layer)
            else:
                yield Weight(f"{owner}.{rest}", [parameter])
        elif f".{ADAPTER}." not in name:
            yield Weight(name, [parameter])


@contextmanager
def adapters_off(module: Any) -> Iterator[None]:
    """Let a module compute what it would without its adapters, in the block.

    Args:
        module: module with adapted layers, or without any.
    """
    layers: list[Any] = [part for part in module.modules() if hasattr(part, "lora_A")]
    for layer in layers:
        layer.set_scale(ADAPTER, 0.0)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_scale(ADAPTER, 1.0)


class WithoutAdapters:
    """A model with adapters as it was before training: the reference policy, without a copy.

    Args:
        model: language model with adapters.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return hidden states `[R, T, H]`; see `LanguageModel.trunk`."""
        with adapters_off(self.model):
            return self.model.trunk(tokens, lengths)

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]` of hidden states `[S, H]`."""
        with adapters_off(self.model):
            return self.model.head(states)


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the adapters' parameters, under the names that peft gives them in files."""
    for name, parameter in model.named_parameters():
        if f".{ADAPTER}." in name:
            yield f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}", parameter


def write_adapter(folder: Path, model: Any, weights: dict[str, Tensor], base: str) -> None:
    """Write adapters as a directory that peft loads.

    Args:
        folder: folder to make.
        model: model with adapters.
        weights: whole adapters, by the names of `adapter_parameters`.
        base: checkpoint directory of the start policy.
    """
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    settings = model.peft_config[ADAPTER]
    settings.base_model_name_or_path, settings.inference_mode = base, True
    settings.save_pretrained(str(folder))
    save_file(weights, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
