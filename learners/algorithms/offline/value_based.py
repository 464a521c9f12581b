"""Common part of MC, ILQL and conservative SARSA: Q heads on a trunk, whose values guide the
sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from learners.algorithms.base import Algorithm, CriticForm, TaskFacts, ValueGuidance
from learners.algorithms.returns import Credit
from learners.config import HeadKind
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Range

if TYPE_CHECKING:
    from learners.networks.causal_lm import CausalLM
    from learners.networks.values import ValueNetwork


@dataclass(frozen=True)
class ValueBased(Algorithm):
    """An algorithm that learns action values of every token.

    Attributes:
        gamma: discount factor.
        credit: whether γ acts at each action token, or at turn borders only.
        cql_weight: weight of the cross-entropy of the data's tokens, with Q as logits.
        head: kind of the Q and V heads.
        value_start: value of every token and state before training, in reward units. If it is at or
            below the lowest return, tokens that were never tried do not look good.
        value_scale: unit of the heads' predictions, in reward units.
        beta: weight β of Q in the sampler, which samples from softmax(log π_start + β min Q).
        top_p: probability mass of the start policy's nucleus, to which the sampler is restricted; 1
            does not restrict it.
        epochs: number of passes over each batch.
    """

    gamma: Annotated[float, SHARE] = 0.99
    credit: Credit = "turn"
    cql_weight: Annotated[float, NOT_NEGATIVE] = 0.01
    head: HeadKind = "mlp"
    value_start: float = 0.0
    value_scale: Annotated[float, POSITIVE] = 1.0
    beta: Annotated[float, NOT_NEGATIVE] = 4.0
    top_p: Annotated[float, Range(above=0.0, high=1.0)] = 1.0
    epochs: Annotated[int, COUNT] = 1

    q_heads: ClassVar[int] = 2

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with values that begin at the lowest return of the task."""
        gamma = facts.gamma
        return cls(
            gamma=gamma,
            cql_weight=0.05,
            value_start=facts.lowest(gamma),
            value_scale=facts.spread(gamma) / 4.0,
            beta=8.0,
        )

    @property
    def guidance(self) -> ValueGuidance:
        """How the sampler uses the values."""
        return ValueGuidance(self.q_heads, self.head, self.value_scale, self.beta, self.top_p)

    @property
    def critic_form(self) -> CriticForm:
        """Parts of the value network."""
        return CriticForm(True, self.q_heads, False, self.head, self.value_scale)

    def network(self, load: Callable[[], CausalLM]) -> ValueNetwork:
        """Return the network that is trained."""
        from learners.networks.values import value_network

        return value_network(
            load(),
            self.q_heads,
            self.value_start,
            self.head,
            self.value_scale,
            with_v=False,
            nll=self.cql_weight > 0,
        )
