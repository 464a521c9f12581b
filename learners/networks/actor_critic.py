"""Policy and critic: a causal language model of any architecture, with an optional critic.

`Network` computes hidden states once per distinct row. It computes logits only where an entry needs
them, so no `[R, T, V]` tensor ever exists.
"""

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import nn

from learners.config import CriticKind, HeadKind
from learners.networks.causal_lm import CausalLM
from learners.networks.heads import Head
from learners.networks.hl_gauss import BinnedValueHead
from learners.networks.lora import Weight, weights_of
from learners.networks.outputs import Inputs, LanguageModel, Outputs
from learners.networks.per_token import PerToken, _likelihoods, _trained_likelihoods
from learners.networks.values import ValueNetwork, head_weights, trunk_weights, value_network


class Network(nn.Module):
    """Policy and critic.

    Args:
        policy: causal language model with `trunk(tokens) -> [R, T, H]` and
            `head([S, H]) -> [S, V]`.
        critic: second trunk, for the value head; None lets the value head use the policy's trunk.
        value_head: `Head` with one output, or head with bins; None is a network without a value
            head.
        value_scale: unit of the head's predictions and of the value loss, in reward units.
        chunk: number of states whose logits exist at one time.
        entropy_gradient: whether the loss uses the gradient of the entropy.
        utterances: critic with Q heads and a V head, instead of a value head; None is none.
        frozen_critic: whether that critic is not trained. Its values are then computed only where
            no gradient is.
    """

    def __init__(
        self,
        policy: nn.Module,
        critic: nn.Module | None = None,
        value_head: nn.Module | None = None,
        value_scale: float = 1.0,
        chunk: int = 4096,
        entropy_gradient: bool = False,
        utterances: ValueNetwork | None = None,
        frozen_critic: bool = False,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.critic = critic
        self.value_head = value_head
        self.utterances = utterances
        self.frozen_critic = frozen_critic
        if frozen_critic and utterances is not None:
            utterances.requires_grad_(False)
        self.value_scale = value_scale
        self.frozen_trunk = False
        output = policy.output if isinstance(policy, CausalLM) else None
        figures = _trained_likelihoods if entropy_gradient else _likelihoods
        self.per_token = PerToken(cast(LanguageModel, policy).head, figures, chunk, output)

    def freeze_trunk(self) -> None:
        """Let value losses train the value head only."""
        self.frozen_trunk = True
        if self.critic is not None:
            self.critic.requires_grad_(False)
        if self.utterances is not None:
            self.utterances.freeze_trunk()

    def exported(self) -> Iterator[Weight]:
        """Yield the weights that a sampler needs: the policy's, under their Hugging Face names.

        Tied tensors have one name only.
        """
        policy = self.policy
        assert isinstance(policy, CausalLM)
        yield from weights_of(policy.model)

    def critic_weights(self) -> Iterator[Weight]:
        """Yield the weights of the critic; nothing without one.

        The names are those of `ValueNetwork.critic_weights`.
        """
        if self.utterances is not None:
            yield from self.utterances.critic_weights()
        elif self.value_head is not None:
            if isinstance(self.critic, CausalLM):
                yield from trunk_weights(self.critic)
            yield from head_weights("v", self.value_head)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return log-probabilities and values at the entries, in float32 for every trunk type."""
        hidden = cast(LanguageModel, self.policy).trunk(inputs.tokens, inputs.lengths)
        states = hidden[inputs.state_row, inputs.state_position]
        token_logprob, entropy = self.per_token(
            states,
            torch.cat([inputs.entry_state, inputs.observation_state]),
            torch.cat([inputs.entry_token, inputs.observation_token]),
        )
        entries = len(inputs.entry_state)
        q = None
        training = torch.is_grad_enabled()
        if self.utterances is not None and not (self.frozen_critic and training):
            found = self.utterances(inputs)
            value, q, bins = found.v, found.q, None
        elif self.value_head is None:
            value = states.new_zeros(entries, dtype=torch.float32)
            bins = None
        else:
            if self.critic is not None:
                hidden = cast(LanguageModel, self.critic).trunk(inputs.tokens, inputs.lengths)
                states = hidden[inputs.state_row, inputs.state_position]
            states = states.detach() if self.frozen_trunk else states
            if isinstance(self.value_head, BinnedValueHead):
                bins = self.value_head(states)
                value = self.value_head.value(bins)[inputs.entry_state]
                bins = bins[inputs.entry_state]
            else:
                output = self.value_head(states)[0].squeeze(-1)
                value = self.value_scale * output.float()[inputs.entry_state]
                bins = None
        return Outputs(
            logprob=token_logprob[:entries],
            observation_logprob=token_logprob[entries:],
            value=value,
            entropy=entropy[:entries],
            bins=bins,
            q=q,
        )


def actor_critic(
    load: Callable[[], CausalLM],
    critic: CriticKind,
    start: float,
    scale: float,
    bins: int = 0,
    bounds: tuple[float, float] | None = None,
    entropy_gradient: bool = False,
    kind: HeadKind = "linear",
) -> Network:
    """Return a policy with a critic.

    Args:
        load: function that returns a new copy of the start policy.
        critic: kind of the critic: `head` on the policy's trunk, `trunk` of its own, or `none`.
        start: value of every state before training, in reward units.
        scale: unit of the critic's predictions, in reward units.
        bins: number of bins of a critic that predicts a distribution; 0 is a critic that predicts a
            number.
        bounds: lowest and highest value that the bins cover, in reward units; needed with bins.
        entropy_gradient: whether the loss uses the gradient of the entropy.
        kind: kind of the value head without bins.
    """
    policy = load()
    if critic == "none":
        return Network(policy, entropy_gradient=entropy_gradient)
    width = policy.output.in_features
    trunk = load() if critic == "trunk" else None
    if trunk is not None:
        trunk.freeze_output()
    head: nn.Module = Head(width, 1, start / scale, kind)
    if bins:
        assert bounds is not None
        head = BinnedValueHead(width, start, *bounds, bins)
    return Network(policy, trunk, head, scale, entropy_gradient=entropy_gradient)


def utterance_actor_critic(
    load: Callable[[], CausalLM],
    q_heads: int,
    start: float,
    head: HeadKind,
    scale: float,
    entropy_gradient: bool = False,
    with_v: bool = True,
    frozen: bool = False,
) -> Network:
    """Return a policy with a critic of utterances, which has a trunk of its own.

    Args:
        load: function that returns a new copy of the start policy.
        q_heads: number of Q heads of the critic.
        start: value of every state before training, in reward units.
        head: kind of the value heads.
        scale: unit of the critic's predictions, in reward units.
        entropy_gradient: whether the loss uses the gradient of the entropy.
        with_v: whether the critic has a V head.
        frozen: whether the critic is not trained.
    """
    critic = value_network(load(), q_heads, start, head, scale, with_v=with_v, nll=False)
    return Network(
        load(), entropy_gradient=entropy_gradient, utterances=critic, frozen_critic=frozen
    )
