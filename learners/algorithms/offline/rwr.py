"""Reward-weighted regression: cloning, weighted by the return that followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from jaxtyping import Float

from learners.algorithms.base import (
    Algorithm,
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TaskFacts,
)
from learners.algorithms.returns import per_step, reward_to_go
from learners.batch import Batch
from lmrl.limits import NOT_NEGATIVE, POSITIVE, SHARE

if TYPE_CHECKING:
    from torch import Tensor

    from learners.networks.actor_critic import Network
    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs


def exponential_weights(
    values: Float[np.ndarray, "N"], temperature: float, cap: float
) -> Float[np.ndarray, "N"]:
    """Return min(exp(values / temperature), cap) `[N]`.

    Args:
        values: numbers to weigh by, in reward units `[N]`.
        temperature: value at which a weight is e, in reward units.
        cap: largest weight.
    """
    return np.exp(np.minimum(values / temperature, np.log(cap)))


@dataclass(frozen=True)
class RWR(Algorithm):
    """Reward-weighted regression (Peters & Schaal 2007, "Reinforcement learning by reward-weighted
    regression", eq. 9; with a baseline and a largest weight as in Peng et al. 2019,
    arXiv:1910.00177).

    L = −Σ w_n log π(a_n) / Σ w_n with w_n = min(exp((G_n − mean(G)) / temperature), cap), where G
    is the discounted return from the turn on and the mean is over the action tokens of the batch.
    The weights of a batch have the mean 1, so the step size does not depend on the temperature.

    It needs neither a critic nor a start policy beside the trained one. Unlike filtered cloning it
    takes turns, not episodes, and uses all of them.

    Attributes:
        gamma: discount factor at turn borders.
        temperature: difference of returns by which a weight grows e-fold, in reward units.
        cap: largest weight, before weights are scaled to the mean 1.
        observation_weight: weight of a language-model loss on observation tokens.
    """

    gamma: Annotated[float, SHARE] = 0.99
    temperature: Annotated[float, POSITIVE] = 1.0
    cap: Annotated[float, POSITIVE] = 20.0
    observation_weight: Annotated[float, NOT_NEGATIVE] = 0.0

    name: ClassVar[str] = "rwr"

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with a temperature of a tenth of the range of returns."""
        return cls(gamma=facts.gamma, temperature=facts.spread(facts.gamma) / 10.0)

    @property
    def observations(self) -> bool:
        """Whether observation tokens get a loss."""
        return self.observation_weight > 0

    def network(self, load: Callable[[], CausalLM]) -> Network:
        """Return the policy."""
        from learners.networks.actor_critic import Network

        return Network(load())

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return the column `weight` `[N]`, with mean 1 over all ranks."""
        returns = reward_to_go(
            batch.reward, batch.next, per_step(self.gamma, batch.turn_end, "turn")
        )
        count, total = group.total(batch.actions, returns.sum())
        mean = total / max(count, 1.0)
        weight = exponential_weights(returns - mean, self.temperature, self.cap)
        weights, squares = group.total(weight.sum(), np.square(weight).sum())
        scale = count / max(weights, 1e-12)
        # (Σ w)² / (N Σ w²): 1 where all weights are equal, 1 / N where one token has all of it.
        effective = weights**2 / max(squares * count, 1e-12)
        return {"weight": weight * scale}, {"returns": mean, "effective_share": effective}, {}

    def weight(self, actions: int, observations: int) -> float:
        """Return N + w P."""
        return actions + self.observation_weight * observations

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return the weighted negative log-likelihood of a micro-batch's actions."""
        nll = -(targets["weight"] * out.logprob).sum()
        if self.observations:
            nll = nll - self.observation_weight * out.observation_logprob.sum()
        return LossOutput(
            nll / normaliser,
            {"action_nll": -out.logprob.detach().sum(), "entropy": out.entropy.detach().sum()},
        )
