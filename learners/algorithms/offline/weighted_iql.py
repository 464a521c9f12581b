"""Implicit Q-learning over utterances, and a policy that is weighted cloning by its advantages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np

from learners.algorithms.base import (
    Algorithm,
    Columns,
    CriticForm,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TargetConfig,
    TaskFacts,
)
from learners.algorithms.offline.ilql import ilql_terms
from learners.algorithms.offline.rwr import exponential_weights
from learners.algorithms.returns import gae
from learners.algorithms.turns import Turns, turns_of
from learners.batch import Batch
from learners.config import CriticKind, HeadKind
from lmrl.limits import NOT_NEGATIVE, POSITIVE, SHARE, Range

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs


@dataclass(frozen=True)
class WeightedIQL(Algorithm):
    """Implicit Q-learning over utterances with a policy of its own.

    The critic learns by implicit Q-learning (Kostrikov et al. 2021, arXiv:2110.06169, eq. 5-6), one
    step per turn: Q(o, u) regresses to r + γ V(o') and V(o) to an expectile of min Q'(o, u) over
    the data's utterances, so no utterance outside of the data is ever valued. Steps near a good end
    may count more (`near_end`), which helps where the only reward is at the end (Q-Evolve, Zhang et
    al. 2026, arXiv:2606.07367, weights such steps; the form of the weight is this project's).

    The policy clones the data with the weights min(exp(A / temperature), cap) (the same, eq. 7).
    This is the best policy for a given KL divergence from the behaviour, so it stays near the data.
    A are generalised advantage estimates over turns, from V. A KL penalty keeps it near the start
    policy too.

    Unlike ILQL, the result is a plain language model: no second trunk runs in the sampler. And it
    bootstraps once per turn, which is right here: V values states between turns, and the maximum is
    over whole utterances. Q and V are read as in `learners.algorithms.online.archer`.

    Attributes:
        gamma: discount factor of a turn.
        tau: expectile of the value regression.
        lam: λ of the policy's advantages; above 0 they include returns of the data.
        temperature: advantage by which a weight grows e-fold, in reward units.
        cap: largest weight.
        kl_coef: weight of the estimate k2 of the KL divergence from the start policy in the loss;
            0 keeps no copy of the start policy.
        near_end: additional weight of a terminated episode's last turn in the critic's loss; it
            falls by γ for each turn before it.
        critic_coef: weight of the critic's loss.
        critic_updates: number of first updates in which only the critic learns.
        polyak: step size of the target critic.
        head: kind of the Q and V heads.
        value_scale: unit of the critic's predictions, in reward units.
        value_start: value of every state and utterance before training, in reward units.
    """

    gamma: Annotated[float, SHARE] = 0.95
    tau: Annotated[float, Range(above=0.0, below=1.0)] = 0.8
    lam: Annotated[float, SHARE] = 0.0
    temperature: Annotated[float, POSITIVE] = 1.0
    cap: Annotated[float, POSITIVE] = 20.0
    kl_coef: Annotated[float, NOT_NEGATIVE] = 0.0
    near_end: Annotated[float, NOT_NEGATIVE] = 0.0
    critic_coef: Annotated[float, NOT_NEGATIVE] = 1.0
    critic_updates: Annotated[int, NOT_NEGATIVE] = 0
    polyak: Annotated[float, Range(above=0.0, high=1.0)] = 0.05
    head: HeadKind = "mlp"
    value_scale: Annotated[float, POSITIVE] = 1.0
    value_start: float = 0.0

    name: ClassVar[str] = "weighted_iql"
    critic: ClassVar[CriticKind] = "trunk"
    q_heads: ClassVar[int] = 2

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with a critic whose range is the task's."""
        gamma = facts.gamma
        spread = facts.spread(gamma)
        return cls(
            gamma=gamma,
            temperature=spread / 50.0,
            critic_updates=100,
            value_start=facts.lowest(gamma),
            value_scale=spread / 4.0,
        )

    def start_state(self) -> dict[str, float]:
        """Return the number of finished updates."""
        return {"updates": 0.0}

    def evaluates(self, state: Mapping[str, float]) -> bool:
        """Return True: `prepare` needs target values."""
        return True

    @property
    def reference(self) -> bool:
        """Whether a frozen start policy is needed."""
        return self.kl_coef > 0

    @property
    def target_config(self) -> TargetConfig:
        """Settings of the target critic."""
        return TargetConfig(self.polyak, v=True)

    @property
    def critic_form(self) -> CriticForm:
        """Parts of the critic of utterances."""
        return CriticForm(True, self.q_heads, True, self.head, self.value_scale)

    def network(self, load: Callable[[], CausalLM]) -> nn.Module:
        """Return the policy with a critic of utterances."""
        from learners.networks.actor_critic import utterance_actor_critic

        return utterance_actor_critic(
            load, self.q_heads, self.value_start, self.head, self.value_scale
        )

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return targets of the critic, and weights of the tokens in the three losses `[N]`.

        The weights of Q are above 0 at the last token of each turn, those of V at the first one.
        """
        turns = turns_of(batch)
        reward = np.bincount(turns.turn, batch.reward, minlength=turns.number)
        value = np.append(old.value[turns.first], old.value[batch.actions :])
        gamma = np.full(turns.number, self.gamma)
        advantage, _ = gae(value, reward, turns.next, gamma, np.full(turns.number, self.lam))
        q_target = reward + self.gamma * np.append(value, 0.0)[turns.next]
        v_target = old.target_q[:, turns.last].min(0)
        critic = self._critic_weights(turns)
        clone = exponential_weights(advantage, self.temperature, self.cap)
        if state["updates"] < self.critic_updates:
            clone = np.zeros_like(clone)
        n, count, critic_sum, adv, tgt, cloned = group.total(
            batch.actions,
            turns.number,
            critic.sum(),
            advantage.sum(),
            q_target.sum(),
            clone.sum(),
        )
        count = max(count, 1.0)
        scale = critic * n / max(critic_sum, 1e-12)
        q_weight, v_weight = np.zeros(batch.actions), np.zeros(batch.actions)
        q_weight[turns.last], v_weight[turns.first] = scale, scale
        columns = {
            "q_target": q_target[turns.turn],
            "v_target": v_target[turns.turn],
            "q_weight": q_weight,
            "v_weight": v_weight,
            "clone": clone[turns.turn],
            "advantage": advantage[turns.turn],
        }
        if self.reference:
            columns["reference"] = old.reference
        metrics = {"advantage": adv / count, "y": tgt / count, "clone_weight": cloned / count}
        return columns, metrics, {"updates": state["updates"] + 1}

    def _critic_weights(self, turns: Turns) -> np.ndarray:
        """Return 1 + near_end γ^k `[turns]`, k turns before the end of a terminated episode."""
        closeness = np.zeros(turns.number + 1)
        for turn in range(turns.number - 1, -1, -1):
            after = turns.next[turn]
            if after < 0:
                closeness[turn] = 1.0
            elif after < turns.number:
                closeness[turn] = self.gamma * closeness[after]
        return 1.0 + self.near_end * closeness[: turns.number]

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return weighted cloning + KL penalty + critic_coef × (Q losses + V loss)."""
        assert out.q is not None
        terms = ilql_terms(
            out.q / self.value_scale,
            out.value / self.value_scale,
            targets["v_target"] / self.value_scale,
            targets["q_target"] / self.value_scale,
            self.tau,
        )
        q_loss = (targets["q_weight"] * terms.q.sum(0)).sum()
        v_loss = (targets["v_weight"] * terms.v).sum()
        policy = -(targets["clone"] * out.logprob).sum()
        total = policy + self.critic_coef * (q_loss + v_loss)
        sums = {
            "policy_loss": policy.detach(),
            "q_loss": q_loss.detach(),
            "v_loss": v_loss.detach(),
            "q": (targets["q_weight"] * out.q.detach().mean(0)).sum(),
            "v": (targets["v_weight"] * out.value.detach()).sum(),
            "action_nll": -out.logprob.detach().sum(),
            "entropy": out.entropy.detach().sum(),
        }
        if self.reference:
            penalty = 0.5 * (out.logprob - targets["reference"]).square().sum()
            total = total + self.kl_coef * penalty
            sums["kl_loss"] = self.kl_coef * penalty.detach()
        return LossOutput(total / normaliser, sums)
