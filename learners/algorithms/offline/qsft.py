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

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from learners.algorithms.base import (
    Algorithm,
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TargetConfig,
    TaskFacts,
    ValueGuidance,
)
from learners.algorithms.returns import Credit, per_step
from learners.batch import Batch
from lmrl.errors import UsageError
from lmrl.limits import COUNT, NOT_NEGATIVE, SHARE, Range

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from learners.networks.causal_lm import CausalLM
    from learners.networks.likelihood import LikelihoodNetwork
    from learners.networks.values import ValueOutputs


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

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return Q-SFT with the task's range of returns."""
        gamma = facts.gamma
        return cls(
            gamma=gamma,
            lowest=facts.lowest(gamma),
            highest=max(facts.highest, facts.lowest(gamma) + 1e-6),
            polyak=0.02,
            q_from="ratio",
            beta=48.0,
            top_p=0.99,
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
        from learners.networks.likelihood import LikelihoodNetwork

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
