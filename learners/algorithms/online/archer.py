"""ArCHer: a critic of utterances, and an actor of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, Self

import numpy as np
from jaxtyping import Float

from learners.algorithms.base import (
    Columns,
    CriticForm,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TargetConfig,
    TaskFacts,
)
from learners.algorithms.online.on_policy import OnPolicy
from learners.algorithms.returns import Values, whiten
from learners.algorithms.turns import turns_of
from learners.batch import Batch
from learners.config import CriticKind, HeadKind
from lmrl.errors import UsageError
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Range

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs


class UtteranceTargets(NamedTuple):
    """Targets of a critic of utterances, one for each turn `[turns]`, in reward units.

    Attributes:
        q: target r + γ V'(o') of Q(o, u), where o' is the state before the next turn.
        v: target min Q'(o, u) of V(o).
        advantage: min Q'(o, u) − V'(o).
    """

    q: Float[np.ndarray, "turns"]
    v: Float[np.ndarray, "turns"]
    advantage: Float[np.ndarray, "turns"]


def utterance_targets(
    batch: Batch,
    value: Float[np.ndarray, "E"],
    target_q: Float[np.ndarray, "heads E"],
    reward: Float[np.ndarray, "N"],
    gamma: float,
) -> UtteranceTargets:
    """Return the targets of the critic and the advantage of each turn.

    (Zhou et al. 2024, arXiv:2402.19446, section 3.3 and eq. 1-3.)

    Args:
        batch: episodes.
        value: V' of the target critic `[N + K]`, in reward units.
        target_q: Q' of the target critics for the action tokens `[heads, N + K]`.
        reward: reward of each action token `[N]`.
        gamma: discount factor of a turn.
    """
    turn, first, last, _ = turns_of(batch)
    earned = np.bincount(turn, reward, minlength=len(first))
    after = np.append(value, 0.0)[batch.next[last]]  # index -1: 0 after a terminal state
    lowest = target_q[:, last].min(0)
    return UtteranceTargets(earned + gamma * after, lowest, lowest - value[first])


@dataclass(frozen=True)
class ArCHer(OnPolicy):
    """Actor-critic with a hierarchy (Zhou et al. 2024, arXiv:2402.19446).

    The critic values whole utterances by temporal differences over turns: two Q(o, u), and V(o),
    each with a slow target copy. Every token of the utterance u has the advantage
    min Q(o, u) − V(o) in the actor's policy gradient.

    Q(o, u) is the output of a Q head for the last token of u, in the state before that token: state
    and token together are o and u. V(o) is read in the state before the first token. The critic has
    a trunk of its own.

    As in the paper, the critic learns first in each round, and then the actor. Two things differ.
    Rounds are fresh and are not kept in a replay buffer, so the utterances are those of the policy
    itself, and none have to be sampled again for V and the actor. And there is one V, which
    regresses to the smaller target Q, instead of two. The actor's loss is the clipped one of
    `OnPolicy`; in the first step of a round its gradient is that of −A Σ log π. The other
    attributes are those of `OnPolicy`.

    Attributes:
        gamma: discount factor of a turn.
        polyak: step size of the target critic.
        critic_coef: weight of the critic's loss.
        warmup: number of first updates in which only the critic learns.
        critic_epochs: number of first passes over a round in which only the critic learns. The
            actor learns in the others, with advantages of the critic that knows the round.
        epochs: number of passes over each round.
        head: kind of the Q and V heads.
        value_scale: unit of the critic's predictions, in reward units.
        value_start: value of every state and utterance before training, in reward units.
        whiten: whether advantages of the round are whitened.
    """

    gamma: Annotated[float, SHARE] = 0.95
    polyak: Annotated[float, Range(above=0.0, high=1.0)] = 0.1
    critic_coef: Annotated[float, NOT_NEGATIVE] = 0.5
    warmup: Annotated[int, NOT_NEGATIVE] = 3
    critic_epochs: Annotated[int, NOT_NEGATIVE] = 6
    epochs: Annotated[int, COUNT] = 8
    head: HeadKind = "mlp"
    value_scale: Annotated[float, POSITIVE] = 1.0
    value_start: float = 0.0
    whiten: bool = True

    name: ClassVar[str] = "archer"
    critic: ClassVar[CriticKind] = "trunk"
    q_heads: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            UsageError: for a KL target without a coefficient to adapt, or without a pass for the
                actor.
        """
        super().__post_init__()
        if self.critic_epochs >= self.epochs:
            raise UsageError(
                f"algorithm.critic_epochs {self.critic_epochs} leaves none of algorithm.epochs "
                f"{self.epochs} to the actor; give fewer critic_epochs or more epochs"
            )

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with a critic whose range is the task's."""
        scale = facts.spread(cls.gamma) / 10.0
        return cls(value_start=facts.data, value_scale=scale, kl_coef=0.05, minibatch=64)

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
            load,
            self.q_heads,
            self.value_start,
            self.head,
            self.value_scale,
            entropy_gradient=self.entropy_coef > 0,
        )

    def start_state(self) -> dict[str, float]:
        """Return the KL coefficient of the first round, and the number of finished updates."""
        return {**super().start_state(), "updates": 0.0}

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return the columns of `OnPolicy` and the critic's targets `[N]`."""
        columns, metrics, after = super().prepare(batch, old, group, state)
        if state["updates"] < self.warmup or state["epoch"] < self.critic_epochs:
            columns["weight"] = np.zeros(batch.actions)
        return columns, metrics, {**after, "updates": state["updates"] + 1}

    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return advantages, and the critic's targets with their weights `[N]`.

        The weights are above 0 at the last token of each turn for Q, at the first one for V, and
        their mean over the round is 1.
        """
        found = utterance_targets(batch, old.value, old.target_q, reward, self.gamma)
        turn, starts, *_ = turns_of(batch)
        first = np.zeros(batch.actions)
        first[starts] = 1.0
        advantage = found.advantage[turn]
        n, turns, adv, adv2, error2, tgt, tgt2 = group.total(
            batch.actions,
            len(found.q),
            advantage.sum(),
            np.square(advantage).sum(),
            np.square(found.q - found.v).sum(),
            found.q.sum(),
            np.square(found.q).sum(),
        )
        n, turns = max(n, 1.0), max(turns, 1.0)
        mean, var = adv / n, max(adv2 / n - (adv / n) ** 2, 0.0)
        spread = max(tgt2 / turns - (tgt / turns) ** 2, 1e-8)
        columns = {
            "advantage": whiten(advantage, mean, var) if self.whiten else advantage,
            "q_target": found.q[turn],
            "v_target": found.v[turn],
            "q_weight": batch.turn_end * (n / turns),
            "v_weight": first * (n / turns),
        }
        return columns, {
            "advantage_std": var**0.5,
            "target_mean": tgt / turns,
            "explained_variance": 1.0 - error2 / turns / spread,
        }

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return policy loss + critic_coef × (Q losses + V loss) of a micro-batch."""
        policy = super().loss(out, targets, normaliser)
        assert out.q is not None
        q_error = ((out.q - targets["q_target"]) / self.value_scale).square()
        v_error = ((out.value - targets["v_target"]) / self.value_scale).square()
        q_loss = 0.5 * (targets["q_weight"] * q_error).sum()
        v_loss = 0.5 * (targets["v_weight"] * v_error).sum()
        return LossOutput(
            policy.loss + self.critic_coef * (q_loss + v_loss) / normaliser,
            {
                **policy.sums,
                "q_loss": q_loss.detach(),
                "v_loss": v_loss.detach(),
                "q": (targets["q_weight"] * out.q.detach().mean(0)).sum(),
                "v": (targets["v_weight"] * out.value.detach()).sum(),
            },
        )
