"""The networks: a causal language model of any architecture, with an optional critic.

`Network` computes hidden states once per distinct row and looks at the vocabulary only where an
entry needs it: no `[R, T, V]` tensor ever exists.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MethodType
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from learners.networks.hl_gauss import BinnedValueHead

Critic = Literal["none", "head", "trunk"]


class Outputs(NamedTuple):
    """What the losses see.

    Attributes:
        logprob: of the entries' tokens `[E]`.
        observation_logprob: of the observation tokens `[E']`.
        value: of the entries' states `[E]`; zeros without a critic.
        entropy: of the policy at the entries' states `[E]`.
        bins: logits of the values' bins `[E, K]`, of a critic that has some; else None.
    """

    logprob: Tensor
    observation_logprob: Tensor
    value: Tensor
    entropy: Tensor
    bins: Tensor | None = None


class Inputs(NamedTuple):
    """A `learners.batch.MicroBatch` as tensors on the device; see there for the shapes."""

    tokens: Tensor
    state_row: Tensor
    state_position: Tensor
    entry_state: Tensor
    entry_token: Tensor
    is_action: Tensor
    observation_state: Tensor
    observation_token: Tensor


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


class PerToken(nn.Module):
    """Figures of the distribution over the vocabulary at some tokens, a chunk of states at a time.

    With gradient, the logits of a chunk are computed again in the backward pass instead of kept.

    No other module reads the output embedding during training. Under ZeRO 3 the embedding is
    gathered when this module is entered, once in the forward and once in the backward pass. So the
    number of collectives does not depend on the number of chunks, in which ranks differ.

    Args:
        read: function from states `[S, H]` to logits `[S, V]`.
        figures: function from logits `[S, V]`, the state `[E]` and the token `[E]` of each entry to
            figures `[2, E]`.
        chunk: number of states whose logits exist at one time.
        output: module whose parameters `read` uses; None if they are never sharded.
    """

    def __init__(
        self,
        read: Callable[[Tensor], Tensor],
        figures: Callable[[Tensor, Tensor, Tensor], Tensor],
        chunk: int,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.read, self.figures, self.chunk = read, figures, chunk
        self.output = (output,)  # in a tuple: the module is a part of the model, not of this one

    def reads(self) -> list[nn.Parameter]:
        """Return the parameters of other modules that `forward` uses."""
        return [] if self.output[0] is None else list(self.output[0].parameters())

    def forward(self, states: Tensor, which: Tensor, token: Tensor) -> Tensor:
        """Return figures `[2, E]`, in float32 at least.

        Args:
            states: hidden states `[S, H]`.
            which: state of each entry `[E]`.
            token: token of each entry `[E]`.
        """
        if len(states) <= self.chunk:
            return self._chunk(states, which, token)
        found = states.new_zeros(2, len(which), dtype=at_least_float32(states.dtype))
        rows = torch.arange(2, device=states.device)[:, None]
        for start in range(0, len(states), self.chunk):
            here = torch.nonzero((which >= start) & (which < start + self.chunk)).squeeze(-1)
            part = checkpoint(
                self._chunk,
                states[start : start + self.chunk],
                which[here] - start,
                token[here],
                use_reentrant=False,
            )
            found = found.index_put((rows, here), part)
        return found

    def _chunk(self, states: Tensor, which: Tensor, token: Tensor) -> Tensor:
        logits = self.read(states)
        return self.figures(logits.to(at_least_float32(logits.dtype)), which, token)


def at_least_float32(kind: torch.dtype) -> torch.dtype:
    """Return the type itself if it is float32 or float64, else float32."""
    return kind if kind in (torch.float32, torch.float64) else torch.float32


def _likelihoods(logits: Tensor, which: Tensor, token: Tensor) -> Tensor:
    """Return the log-prob of each token, and the entropy of its state without gradient."""
    logp = F.log_softmax(logits, dim=-1)
    entropy = -(logp.detach().exp() * logp.detach()).sum(-1)
    return torch.stack([logp[which, token], entropy[which]])


class CausalLM(nn.Module):
    """Any Hugging Face causal language model as trunk and head, with weights in float32.

    Args:
        model: from `AutoModelForCausalLM`.
        compute: type of matrix products and hidden states. In bfloat16 the weights are cast as
            they are used (`torch.autocast`), and hidden states are rounded where a model whose
            weights are bfloat16 rounds them, as a sampler's is; weights and their gradients stay
            in float32.
    """

    def __init__(self, model: Any, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model = model
        self.compute = compute
        if compute != torch.float32:
            for module in model.modules():
                own = list(module.parameters(recurse=False))
                if isinstance(module, nn.Embedding):
                    # The type of the embeddings is that of everything that is added to them.
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
            # Without the module's hooks: under ZeRO 3 `PerToken` gathers its parameters.
            logits: Tensor = self.output.forward(states)
        return logits


def _rounded_norm(self: nn.Module, states: Tensor) -> Tensor:
    """Run a norm with weights rounded to bfloat16, as a sampler of this type has them.

    Autocast runs norms in float32. Weights near 1 would then differ from the sampler's by up to
    0.4 %, and so would every value that is read from the states. The gradient is that of the
    weights themselves.
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


def load_causal_lm(path: str | Path, compute: torch.dtype = torch.float32) -> CausalLM:
    """Return the language model of a checkpoint directory, without dropout.

    Old log-probabilities and new ones have to come from the same function, so every dropout rate
    of the configuration is set to 0 rather than switched by train and eval modes.

    Args:
        path: a checkpoint directory.
        compute: see `CausalLM`; the weights are float32.

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
            f"{type(model).__name__} post-processes its logits, which the learner does not model; "
            "choose an architecture whose logits are a linear map of the last hidden state"
        )
    return wrapped if compute == torch.float32 else CausalLM(model, compute)
