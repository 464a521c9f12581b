"""Best-of-N distillation: cloning of the best of several sampled actions, by a frozen critic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from learners.algorithms.base import CriticForm, TaskFacts
from learners.algorithms.offline.bc import BC
from learners.config import HeadKind
from lmrl.limits import COUNT

if TYPE_CHECKING:
    from learners.networks.actor_critic import Network
    from learners.networks.causal_lm import CausalLM


def best_candidates(
    q: Float[np.ndarray, "states candidates"],
    allowed: Bool[np.ndarray, "states candidates"],
    value: Float[np.ndarray, "states"] | None,
) -> Int[np.ndarray, "states"]:
    """Return the index of each state's best candidate, -1 where none is cloned `[states]`.

    That is argmaxᵢ Q(s, aᵢ) over the allowed candidates, if Q(s, aᵢ) > V(s); of equal ones the
    first.

    Args:
        q: values of the candidates `[states, candidates]`, in reward units.
        allowed: whether each candidate may be cloned `[states, candidates]`.
        value: values of the states `[states]`, in reward units; None clones the best candidate of
            every state that has an allowed one.
    """
    usable = np.where(allowed, q, -np.inf)
    best = usable.argmax(1)
    highest = usable.max(1)
    lowest = np.full(len(q), -np.inf) if value is None else value
    return np.where(highest > lowest, best, -1)


@dataclass(frozen=True)
class BestOfN(BC):
    """Best-of-N distillation from Q (Digi-Q, Bai et al. 2025, arXiv:2502.15760, policy extraction).

    L = −E_{s ~ D, a₁…a_N ~ π_start(·|s)} Σᵢ 1[i = argmaxⱼ Q(s, aⱼ), Q(s, aᵢ) > V(s)] log π(aᵢ|s)

    In states of a data set the start policy, a clone of the data's behaviour, samples N actions.
    A frozen critic, which another run has learned (`start_critic`), values them as utterances: Q is
    read at the last token and V before the first one. The policy clones the best action of each
    state, if that is better than the state. So it goes beyond the data's actions, and its step is
    supervised, not a policy gradient.

    Actions are sampled and chosen once, before the first update. `cluster.best_actions` does that
    with the samplers and the learners; the run directory keeps the result. The updates are then
    behaviour cloning, with one state for each episode of a batch. An action that was cut, or a
    reply without an action, is never cloned. The critic is not trained, and its checkpoints keep
    it.

    The other attribute is that of `learners.algorithms.offline.bc.BC`.

    Attributes:
        candidates: number N of actions that are sampled in each state.
        states: largest number of states of the data set that are used: those of whole episodes, in
            shuffled order, until there are so many.
        above_value: whether the best action is cloned only where its Q exceeds V. If not, the
            critic needs no V head.
        q_heads: number of Q heads of the critic; the smallest Q counts.
        head: kind of the heads of the critic.
    """

    candidates: Annotated[int, COUNT] = 16
    states: Annotated[int, COUNT] = 4096
    above_value: bool = True
    q_heads: Annotated[int, COUNT] = 2
    head: HeadKind = "mlp"

    name: ClassVar[str] = "best_of_n"
    needs_critic: ClassVar[bool] = True
    follows: ClassVar[str] = "ilql"

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm without a loss on observations, which its start has learned."""
        return cls()

    @property
    def critic_form(self) -> CriticForm:
        """Parts of the frozen critic."""
        return CriticForm(True, self.q_heads, self.above_value, self.head, 1.0)

    def network(self, load: Callable[[], CausalLM]) -> Network:
        """Return the policy with a frozen critic of utterances."""
        from learners.networks.actor_critic import utterance_actor_critic

        return utterance_actor_critic(
            load, self.q_heads, 0.0, self.head, 1.0, with_v=self.above_value, frozen=True
        )
