"""The networks: a causal language model of any architecture, with an optional critic.

`Network` computes hidden states once per distinct row and looks at the vocabulary only where an
entry needs it: no `[R, T, V]` tensor ever exists.
"""

from collections.abc import Callable, Iterator
from typing import Literal, cast

import torch
from torch import Tensor, nn

from learners.networks.causal_lm import CausalLM
from learners.networks.hl_gauss import BinnedValueHead
from learners.networks.outputs import Inputs, LanguageModel, Outputs
from learners.networks.per_token import PerToken, _likelihoods

Critic = Literal["none", "head", "trunk"]


class Network(nn.Module):
    """Policy and critic.

    Args:
        policy: a causal language model: `trunk(tokens) -> [R, T, H]`, `head([S, H]) -> [S, V]`.
        critic: a second trunk with a head of its own; None with `value_head` alone shares the
            policy's trunk.
        value_head: hidden state to one number.
        value_scale: the head predicts values in units of this; losses are in the same units.
        chunk: states whose logits exist at one time.
    """

    def __init__(
        self,
        policy: nn.Module,
        critic: nn.Module | None = None,
        value_head: nn.Module | None = None,
        value_scale: float = 1.0,
        chunk: int = 4096,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.critic = critic
        self.value_head = value_head
        self.value_scale = value_scale
        output = policy.output if isinstance(policy, CausalLM) else None
        self.per_token = PerToken(cast(LanguageModel, policy).head, _likelihoods, chunk, output)

    def exported(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what a sampler needs: the policy by its Hugging Face names, tied tensors once."""
        policy = self.policy
        assert isinstance(policy, CausalLM)
        yield from policy.model.named_parameters()

    def forward(self, inputs: Inputs) -> Outputs:
        """Return log-probabilities and values at the entries; float32 whatever the trunk's type."""
        hidden = cast(LanguageModel, self.policy).trunk(inputs.tokens)
        states = hidden[inputs.state_row, inputs.state_position]
        token_logprob, entropy = self.per_token(
            states,
            torch.cat([inputs.entry_state, inputs.observation_state]),
            torch.cat([inputs.entry_token, inputs.observation_token]),
        )
        entries = len(inputs.entry_state)
        if self.value_head is None:
            value = states.new_zeros(entries, dtype=torch.float32)
            bins = None
        else:
            if self.critic is not None:
                seen = cast(LanguageModel, self.critic).trunk(inputs.tokens)
                states = seen[inputs.state_row, inputs.state_position]
            said = self.value_head(states)
            if isinstance(self.value_head, BinnedValueHead):
                value = self.value_head.value(said)[inputs.entry_state]
                bins = said[inputs.entry_state]
            else:
                value = self.value_scale * said.squeeze(-1).float()[inputs.entry_state]
                bins = None
        return Outputs(
            logprob=token_logprob[:entries],
            observation_logprob=token_logprob[entries:],
            value=value,
            entropy=entropy[:entries],
            bins=bins,
        )


class ValueHead(nn.Module):
    """A linear value head in float32 that starts at a constant.

    Args:
        width: H.
        start: its output, in units of the value scale, before any training.
    """

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, dtype=torch.float32)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, start)

    def forward(self, states: Tensor) -> Tensor:
        """Return values `[S, 1]` in units of the value scale."""
        return self.linear(states.to(self.linear.weight.dtype))


def actor_critic(
    load: Callable[[], CausalLM],
    critic: Critic,
    start: float,
    scale: float,
    bins: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Network:
    """Return a policy with a critic.

    Args:
        load: returns the start policy, a new copy each time.
        critic: `head` on the policy's trunk, or `trunk` of its own.
        start: value of every state before training, in reward units.
        scale: the critic predicts in units of this.
        bins: of a critic that predicts a distribution over so many; 0 predicts a number.
        bounds: lowest and highest value that the bins have to hold; needed with bins.
    """
    policy = load()
    if critic == "none":
        return Network(policy)
    width = policy.model.get_output_embeddings().weight.shape[1]
    trunk = load() if critic == "trunk" else None
    if trunk is not None:
        # Only its trunk is used; an output embedding without gradient would break ZeRO.
        trunk.model.get_output_embeddings().weight.requires_grad_(
            trunk.model.config.tie_word_embeddings
        )
    head: nn.Module = ValueHead(width, start / scale)
    if bins:
        assert bounds is not None
        head = BinnedValueHead(width, start, *bounds, bins)
    return Network(policy, trunk, head, scale)
