"""Behaviour cloning: maximum likelihood of the data's action tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from learners.algorithms.base import Algorithm, LossOutput, TaskFacts
from lmrl.limits import NOT_NEGATIVE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from learners.networks.actor_critic import Network
    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs


def bc_loss(
    logprob: Float[Tensor, "N"],
    observation_logprob: Float[Tensor, "P"] | None = None,
    observation_weight: float = 0.0,
    normaliser: float | None = None,
) -> Float[Tensor, ""]:
    """Return token-masked cross-entropy, a scalar.

    L = −(Σ log p(actionₙ) + w Σ log p(observationₚ)) / normaliser
    (arXiv 2311.18232, appendix D; `w` is the published code's non-action weight, 0 in all its task
    scripts).

    Args:
        logprob: log-probabilities of the action tokens `[N]`, in nats.
        observation_logprob: log-probabilities of the observation tokens `[P]`, in nats.
        observation_weight: weight w of the observation tokens.
        normaliser: divisor of the sum; None is N + w P. The legacy loss of the published code
            divides by N + P.
    """
    total = logprob.sum()
    weight = float(len(logprob))
    if observation_logprob is not None and observation_weight:
        total = total + observation_weight * observation_logprob.sum()
        weight += observation_weight * len(observation_logprob)
    return -total / (weight if normaliser is None else normaliser)


@dataclass(frozen=True)
class BC(Algorithm):
    """Behaviour cloning.

    Attributes:
        observation_weight: weight of a language-model loss on observation tokens. The benchmark
            uses 0. With 1 a policy that starts from random weights learns to distinguish states
            before any value depends on them, which helps online learning afterwards.
    """

    observation_weight: Annotated[float, NOT_NEGATIVE] = 0.0

    name: ClassVar[str] = "bc"

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return cloning that learns observations too, so that states are distinguished."""
        return cls(observation_weight=1.0)

    @property
    def observations(self) -> bool:
        """Whether observation tokens get a loss."""
        return self.observation_weight > 0

    def network(self, load: Callable[[], CausalLM]) -> Network:
        """Return the policy."""
        from learners.networks.actor_critic import Network

        return Network(load())

    def weight(self, actions: int, observations: int) -> float:
        """Return N + w P."""
        return actions + self.observation_weight * observations

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return the cross-entropy of a micro-batch."""
        loss = bc_loss(out.logprob, out.observation_logprob, self.observation_weight, normaliser)
        return LossOutput(
            loss,
            {"action_nll": -out.logprob.detach().sum(), "entropy": out.entropy.detach().sum()},
        )
