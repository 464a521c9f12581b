"""Q-SFT: action values learned as a language model's own probabilities (Hong, Dragan and Levine
2024, arXiv:2411.05193, section 4).

A second copy of the start policy π is trained by cross-entropy. The target gives the data's token
the mass w, which is the value of the token. So there is no head that starts without training:

    w = clip(r + γ max_a' p'(a' | s') / π(a' | s'), 0, 1)
    L = -[w log p(a | s) + (1 - w) log p(rest | s)]

Here p' is the slow copy, and values are scaled to [0, 1]: `lowest` and `highest` are the returns
that 0 and 1 stand for. So p(a | s) tends to π(a | s) Q(s, a) exactly.

The remaining mass 1 − w goes to a rest symbol beside the vocabulary. The paper divides it evenly
among the other tokens. Then a token with a very small probability under π receives more mass than π
gives it. Its ratio p / π exceeds that of every token of the data, and a decoder that uses the ratio
samples nothing else.

- The maximum and the sampler consider only tokens of some probability under π (`support`), since
  the ratio of the others is a quotient of two errors.
- The sampler weights p, as the paper does (`q_from="probability"`), or the value itself, p / π
  (`q_from="ratio"`).
- Every token bootstraps from the next one. γ acts at turn borders; `credit="token"` is the paper's
  rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from learners.algorithms.base import (
    Algorithm,
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TargetConfig,
    ValueGuidance,
)
from learners.algorithms.returns import Credit, per_step
from learners.batch import Batch
from learners.networks.causal_lm import CausalLM
from learners.networks.guidance import likelihoods, ratios
from learners.networks.outputs import Inputs
from learners.networks.per_token import PerToken
from learners.networks.values import TargetValues, ValueNetwork, ValueOutputs, freeze_output
from lmrl.errors import UsageError
from lmrl.limits import COUNT, NOT_NEGATIVE, SHARE, Range

LEAST_MASS = 0.01
"""Smallest mass of all tokens together before training; 1 minus this is the largest mass."""


def qsft_terms(
    taken: Float[Tensor, "N"], rest: Float[Tensor, "N"], w: Float[Tensor, "N"]
) -> Float[Tensor, "N"]:
    """Return the weighted cross-entropies (arXiv:2411.05193, section 4) `[N]`.

    Args:
        taken: log p of the actions `[N]`, in nats.
        rest: log p of the rest symbol in the actions' states `[N]`, in nats.
        w: values of the actions, between 0 and 1, without gradient `[N]`.
    """
    return -(w * taken + (1.0 - w) * rest)


def _likelihoods(outputs: Tensor, which: Tensor, token: Tensor) -> Tensor:
    """Return the log-probabilities of each entry's token and of the rest symbol `[2, E]`."""
    logp, rest = likelihoods(outputs)
    return torch.stack([logp[which, token], rest[which]])


class LikelihoodNetwork(ValueNetwork):
    """A language model whose probabilities are read as values.

    Its one Q head begins as the output embedding of the start policy, with one more output for the
    rest symbol. `q` of its outputs has two rows: log p of the entry's token and of the rest symbol.

    Args:
        trunk: start policy.
        support: smallest probability of a token that the maximum considers, as a share of the most
            probable token's.
        mass: probability of all tokens together before training; the rest symbol has what is left.
        chunk: number of states whose logits exist at one time.
    """

    def __init__(self, trunk: CausalLM, support: float, mass: float, chunk: int = 256) -> None:
        embedding = freeze_output(trunk)
        outputs, width = embedding.shape
        super().__init__(trunk, 1, width, outputs + 1, 0.0, "linear", 1.0, False, False, chunk)
        self.support = support
        self.per_token = PerToken(self._logits, _likelihoods, chunk, self.q_heads[0])
        mass = min(max(mass, LEAST_MASS), 1.0 - LEAST_MASS)
        with torch.no_grad():
            self.q_heads[0].weight[:-1].copy_(embedding)
            self.q_heads[0].bias[-1] = torch.logit(torch.tensor(1.0 - mass))

    def values(self, states: Tensor, inputs: Inputs) -> ValueOutputs:
        """Return `q` `[2, E]`, given hidden states `[S, H]`."""
        q = self.per_token(states, inputs.entry_state, inputs.entry_token)
        return ValueOutputs(q, q.new_zeros(1), q.new_zeros(q.shape[1]))

    def _logits(self, states: Tensor) -> Tensor:
        # Without the module's hooks: under ZeRO 3 `PerToken` gathers its parameters.
        logits: Tensor = self.q_heads[0].forward(states)[0]
        return logits

    def target_values(
        self, inputs: Inputs, states: Tensor, reference: CausalLM | None
    ) -> TargetValues:
        """Return max p / π over the tokens that π supports, at the entries' states `[1, E]`."""
        assert reference is not None
        base = reference.trunk(inputs.tokens)[inputs.state_row, inputs.state_position]
        best = [
            ratios(
                likelihoods(self.q_heads[0](states[start : start + self.chunk])[0])[0],
                reference.head(base[start : start + self.chunk]),
                self.support,
            ).amax(-1)
            for start in range(0, max(len(states), 1), self.chunk)  # a pass may be empty
        ]
        q = torch.cat(best)[inputs.entry_state][None]
        return TargetValues(q, torch.zeros_like(q[0]))


@dataclass(frozen=True)
class QSFT(Algorithm):
    """Q-learning by supervised fine-tuning.

    Attributes:
        gamma: discount factor.
        credit: whether γ acts at each action token, or at turn borders only.
        lowest, highest: returns that the values 0 and 1 stand for, in reward units.
        value_start: value of every state before training, in reward units; None is `highest`, with
            which p begins as π.
        support: smallest probability under π of the tokens that the maximum and the sampler's
            values consider, as a share of the most probable token's.
        polyak: step size α of the slow copy.
        q_from: quantity that the sampler multiplies by β: the `probability` p, or its `ratio` to π,
            at most 1.
        beta: weight β of that quantity.
        top_p: probability mass of the start policy's nucleus, to which the sampler is restricted; 1
            does not restrict it.
        epochs: number of passes over each batch.
    """

    gamma: Annotated[float, SHARE] = 0.99
    credit: Credit = "turn"
    lowest: float = -1.0
    highest: float = 0.0
    value_start: float | None = None
    support: Annotated[float, SHARE] = 0.01
    polyak: Annotated[float, Range(above=0.0, high=1.0)] = 0.005
    q_from: Literal["probability", "ratio"] = "probability"
    beta: Annotated[float, NOT_NEGATIVE] = 4.0
    top_p: Annotated[float, Range(above=0.0, high=1.0)] = 1.0
    epochs: Annotated[int, COUNT] = 1

    name: ClassVar[str] = "qsft"

    def __post_init__(self) -> None:
        """Refuse a range of values that is empty.

        Raises:
            UsageError: if `lowest` is not below `highest`.
        """
        if not self.lowest < self.highest:
            raise UsageError(
                f"algorithm.lowest {self.lowest} is not below algorithm.highest {self.highest}; "
                "give the lowest and the highest return of an episode"
            )

    @property
    def target_config(self) -> TargetConfig:
        """Settings of the slow copy."""
        return TargetConfig(self.polyak)

    @property
    def guidance(self) -> ValueGuidance:
        """How the sampler uses the values."""
        return ValueGuidance(1, "linear", 1.0, self.beta, self.top_p, self.q_from, self.support)

    def network(self, load: Callable[[], CausalLM]) -> LikelihoodNetwork:
        """Return the network that is trained."""
        start = self.highest if self.value_start is None else self.value_start
        mass = (start - self.lowest) / (self.highest - self.lowest)
        return LikelihoodNetwork(load(), self.support, mass)

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return the reward and the discount of each token's step `[N]`."""
        discount = per_step(self.gamma, batch.turn_end, self.credit)
        return {"reward": batch.reward, "discount": discount * (batch.next >= 0)}, {}, {}

    def loss(
        self, out: ValueOutputs, targets: Mapping[str, Tensor], normaliser: float
    ) -> LossOutput:
        """Return the weighted cross-entropy of a micro-batch."""
        span = self.highest - self.lowest
        next_value = self.lowest + span * targets["target_q_next"][0].clamp(0.0, 1.0)
        y = targets["reward"] + targets["discount"] * next_value
        w = ((y - self.lowest) / span).clamp(0.0, 1.0)
        terms = qsft_terms(out.q[0], out.q[1], w)
        return LossOutput(
            terms.sum() / normaliser, {"w": w.sum(), "action_nll": -out.q[0].detach().sum()}
        )
