"""`ValueGuidedForCausalLM`: a vLLM model that samples from softmax(log π_start + β min Q).

It has two inner models of any causal architecture that vLLM supports: the start policy, and the
trunk of the value network. It runs both and concatenates their hidden states. `compute_logits`
applies the policy's output embedding and the Q heads. Batching, prefix caching and weight updates
are vLLM's own. `learners.checkpoints.guided` writes the checkpoints, and
`learners.networks.guidance` computes the same logits in plain PyTorch.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.model_executor.models.utils import init_vllm_registered_model

from learners.algorithms.base import ValueGuidance
from learners.networks.guidance import guided_logits
from learners.networks.heads import Head


class ValueGuidedForCausalLM(nn.Module):
    """The start policy, a critic's trunk, and one or two Q heads.

    Args:
        vllm_config: configuration of the engine. The model's config has `lmrl_base`, the inner
            architecture, `lmrl_value_guidance`, the fields of
            `learners.algorithms.base.ValueGuidance`, and `lmrl_head_shape`, the numbers of outputs
            and inputs of a Q head.
        prefix: prefix of the layers' names.
    """

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: Any = vllm_config.model_config.hf_config
        self.config = config

        def inner(name: str) -> Any:
            return init_vllm_registered_model(
                vllm_config,
                hf_config=config,
                architectures=config.lmrl_base,
                prefix=f"{prefix}.{name}" if prefix else name,
            )

        self.policy = inner("policy")
        self.critic = inner("critic")
        self.guidance = ValueGuidance(**config.lmrl_value_guidance)
        outputs, width = config.lmrl_head_shape
        # Ids beyond these are surplus rows of a padded embedding; they are never sampled.
        self.tokens = self.guidance.tokens(outputs)
        self.surplus = config.vocab_size - self.tokens
        for number in range(1, self.guidance.heads + 1):
            head = Head(width, outputs, 0.0, self.guidance.kind, self.guidance.scale)
            self.add_module(f"q{number}", head.requires_grad_(False))
        self.make_empty_intermediate_tensors = self.policy.make_empty_intermediate_tensors

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        """Return the policy's embeddings; the critic uses its own."""
        embedded: Tensor = self.policy.embed_input_ids(input_ids)
        return embedded

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return both models' hidden states, concatenated `[tokens, 2 H]`.

        Args:
            input_ids: token ids `[tokens]`.
            positions: position of each token in its sequence `[tokens]`.
            intermediate_tensors: outputs of an earlier pipeline stage.
            inputs_embeds: embeddings to use instead of token ids `[tokens, H]`.
        """
        return torch.cat(
            [
                self.policy(input_ids, positions, intermediate_tensors, inputs_embeds),
                self.critic(input_ids, positions, intermediate_tensors, inputs_embeds),
            ],
            dim=-1,
        )

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Return guided logits `[S, V]` in float32."""
        ours, values = hidden_states.chunk(2, dim=-1)
        base: Tensor | None = self.policy.compute_logits(ours)
        if base is None:  # another process of the engine has the logits
            return None
        q = [
            cast(Head, self._modules[f"q{n}"])(values)[0].float()
            for n in range(1, self.guidance.heads + 1)
        ]
        guided = guided_logits(base[:, : self.tokens].float(), q, self.guidance)
        return F.pad(guided, (0, self.surplus), value=float("-inf")) if self.surplus else guided

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load `policy.*`, `critic.*` and the heads, or any part of them."""
        parts: dict[str, list[tuple[str, Tensor]]] = {"policy": [], "critic": []}
        for name, tensor in weights:
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part].append((rest, tensor))
            else:
                parameter = self.get_submodule(part).get_parameter(rest)
                loader = getattr(parameter, "weight_loader", None)
                if loader is None:
                    parameter.data.copy_(tensor)
                else:  # during a weight update vLLM wraps the parameter
                    loader(parameter, tensor)
        for part, named in parts.items():
            if named:
                inner: Any = self.get_submodule(part)
                inner.load_weights(named)
        # The critic's output embedding may be missing, since it is not used.
        return {name for name, _ in self.named_parameters()}
