"""The networks: a causal language model of any architecture, with an optional critic.

`Network` computes hidden states once per distinct row and looks at the vocabulary only where an
entry needs it: no `[R, T, V]` tensor ever exists.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from learners.hl_gauss import BinnedValueHead

Critic = Literal["none", "head", "trunk"]


class Outputs(NamedTuple):
    """What the losses see.

    Attributes:
        logprob: of the entries' tokens `[E]`.
        seen_logprob: of the observation tokens `[E']`.
        value: of the entries' states `[E]`; zeros without a critic.
        entropy: of the policy at the entries' states `[E]`.
        bins: logits of the values' bins `[E, K]`, of a critic that has some; else None.
    """

    logprob: Tensor
    seen_logprob: Tensor
    value: Tensor
    entropy: Tensor
    bins: Tensor | None = None


class Inputs(NamedTuple):
    """A `learners.batch.Micro` as tensors on the device; see there for the shapes."""

    tokens: Tensor
    state_row: Tensor
    state_col: Tensor
    entry_state: Tensor
    entry_token: Tensor
    is_action: Tensor
    seen_state: Tensor
    seen_token: Tensor


class LanguageModel(Protocol):
    """A causal language model in two parts."""

    def trunk(self, tokens: Tensor) -> Tensor:
        """Return hidden states `[R, T, H]` of tokens `[R, T]`."""
        ...

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]` of hidden states `[S, H]`."""
        ...


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
        self.chunk = chunk

    def exported(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what a sampler needs: the policy under its Hugging Face names, tied tensors under
        each of theirs."""
        policy = self.policy
        assert isinstance(policy, CausalLM)
        yield from policy.model.named_parameters(remove_duplicate=False)

    def forward(self, inputs: Inputs) -> Outputs:
        """Return log-probabilities and values at the entries; float32 whatever the trunk's type."""
        hidden = cast(LanguageModel, self.policy).trunk(inputs.tokens)
        states = hidden[inputs.state_row, inputs.state_col]
        token_logprob, entropy = self._vocabulary(states, inputs)
        entries = len(inputs.entry_state)
        if self.value_head is None:
            value = states.new_zeros(entries, dtype=torch.float32)
            bins = None
        else:
            if self.critic is not None:
                seen = cast(LanguageModel, self.critic).trunk(inputs.tokens)
                states = seen[inputs.state_row, inputs.state_col]
            said = self.value_head(states)
            if isinstance(self.value_head, BinnedValueHead):
                value = self.value_head.value(said)[inputs.entry_state]
                bins = said[inputs.entry_state]
            else:
                value = self.value_scale * said.squeeze(-1).float()[inputs.entry_state]
                bins = None
        return Outputs(
            logprob=token_logprob[:entries],
            seen_logprob=token_logprob[entries:],
            value=value,
            entropy=entropy[inputs.entry_state],
            bins=bins,
        )

    def _vocabulary(self, states: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return log-probs of entry and observation tokens, and the entropy of each state `[S]`.

        States are taken in chunks; with gradient, a chunk's logits are computed again on the way
        back rather than kept.
        """
        which = torch.cat([inputs.entry_state, inputs.seen_state])
        token = torch.cat([inputs.entry_token, inputs.seen_token])
        if len(states) <= self.chunk:
            return _gather(self.policy.head, states, which, token)
        logprob = states.new_zeros(len(which), dtype=torch.float32)
        entropy = []
        for start in range(0, len(states), self.chunk):
            part = states[start : start + self.chunk]
            here = torch.nonzero((which >= start) & (which < start + self.chunk)).squeeze(-1)
            lp, ent = checkpoint(
                _gather,
                self.policy.head,
                part,
                which[here] - start,
                token[here],
                use_reentrant=False,
            )
            logprob = logprob.index_put((here,), lp)
            entropy.append(ent)
        return logprob, torch.cat(entropy)


def _gather(head: Any, states: Tensor, which: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    logp = F.log_softmax(head(states).float(), dim=-1)
    entropy = -(logp.detach().exp() * logp.detach()).sum(-1)
    return logp[which, token], entropy


class CausalLM(nn.Module):
    """Any Hugging Face causal language model as trunk and head.

    Args:
        model: from `AutoModelForCausalLM`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def trunk(self, tokens: Tensor) -> Tensor:
        """Return the last hidden states after the final norm `[R, T, H]`."""
        hidden: Tensor = self.model.base_model(input_ids=tokens, use_cache=False)[0]
        return hidden

    def head(self, states: Tensor) -> Tensor:
        """Return logits `[S, V]`."""
        logits: Tensor = self.model.get_output_embeddings()(states)
        return logits


class ValueHead(nn.Module):
    """A linear value head in float32 that starts at a constant.

    Args:
        width: H.
        start: its output, in units of the value scale, before any training.
    """

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
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
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> Network:
    """Return a policy with a critic.

    Args:
        load: returns the start policy, a new copy each time.
        critic: `head` on the policy's trunk, or `trunk` of its own.
        start: value of every state before training, in reward units.
        scale: the critic predicts in units of this.
        bins: of a critic that predicts a distribution over so many; 0 predicts a number.
        bounds: lowest and highest value of the bins.
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
    head: nn.Module = (
        BinnedValueHead(width, start, *bounds, bins) if bins else ValueHead(width, start / scale)
    )
    return Network(policy, trunk, head, scale)


def load_causal_lm(path: str | Path, dtype: torch.dtype = torch.float32) -> CausalLM:
    """Return the language model of a checkpoint directory, without dropout.

    Old log-probabilities and new ones have to come from the same function, so every dropout rate
    of the configuration is set to 0 rather than switched by train and eval modes.

    Raises:
        UsageError: if the directory holds no model, or one whose logits are not simply
            `output embedding x last hidden state` (a probe compares the two).
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from lmrl.errors import UsageError

    try:
        config = AutoConfig.from_pretrained(str(path))
        for name, value in list(config.to_dict().items()):
            if ("drop" in name) and isinstance(value, float):
                setattr(config, name, 0.0)
        model = AutoModelForCausalLM.from_pretrained(str(path), config=config, dtype=dtype)
    except (OSError, ValueError) as error:
        raise UsageError(f"no language model could be read from {path}: {error}") from error
    wrapped = CausalLM(model)
    probe = torch.arange(4)[None] % config.vocab_size
    with torch.no_grad():
        direct = model(input_ids=probe).logits[0].float()
        ours = wrapped.head(wrapped.trunk(probe)[0]).float()
    if not torch.allclose(direct, ours, atol=1e-3, rtol=1e-3):
        raise UsageError(
            f"{type(model).__name__} post-processes its logits, which the learner does not model; "
            "choose an architecture whose logits are a linear map of the last hidden state"
        )
    return wrapped
