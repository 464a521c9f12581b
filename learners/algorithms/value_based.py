"""What MC, ILQL and conservative SARSA share: Q heads on a trunk, and a sampler that they guide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from learners.algorithms.base import Algorithm, ValueGuidance
from learners.algorithms.returns import Credit
from learners.networks.causal_lm import CausalLM
from learners.networks.heads import HeadKind
from learners.networks.values import ValueNetwork, value_network
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Range


@dataclass(frozen=True)
class ValueBased(Algorithm):
    """An algorithm that learns action values of every token.

    Attributes:
        gamma: discount.
        credit: where γ acts: at each action token, or at turn borders alone.
        cql_weight: weight of the cross-entropy of the data's tokens under Q read as logits.
        head: kind of the Q and V heads.
        value_start: every value before training. At or below the lowest return, no token looks good
            for never having been tried.
        value_scale: unit in which the heads predict.
        beta: the sampler's weight of Q: it samples from softmax(log π_start + β min Q).
        top_p: restricts the sampler to the start policy's nucleus; 1 does not.
        epochs: passes over each batch.
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

    @property
    def guidance(self) -> ValueGuidance:
        """How the sampler uses the values."""
        return ValueGuidance(self.q_heads, self.head, self.value_scale, self.beta, self.top_p)

    def network(self, load: Callable[[], CausalLM]) -> ValueNetwork:
        """Return the network that is trained."""
        return value_network(
            load(),
            self.q_heads,
            self.value_start,
            self.head,
            self.value_scale,
            with_v=False,
            nll=self.cql_weight > 0,
        )
