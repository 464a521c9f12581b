"""`ActorCritic`: algorithms whose advantages come from a critic of states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np

from learners.algorithms.base import (
    Columns,
    CriticForm,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
    TaskFacts,
)
from learners.algorithms.bins import check_bins, clipped_targets
from learners.algorithms.online.losses import value_terms
from learners.algorithms.online.on_policy import OnPolicy
from learners.algorithms.returns import Entries, Values, whiten
from learners.batch import Batch
from learners.config import CriticKind, HeadKind
from lmrl.limits import BOUNDS, NOT_NEGATIVE, POSITIVE, SHARE, Used

if TYPE_CHECKING:
    from torch import Tensor

    from learners.networks.actor_critic import Network
    from learners.networks.causal_lm import CausalLM
    from learners.networks.outputs import Outputs

_CRITIC = Used("algorithm.has_critic", "with a critic (algorithm.critic head or trunk)")
_NO_BINS = Used("not algorithm.value_bins")


@dataclass(frozen=True)
class ActorCritic(OnPolicy):
    """An algorithm whose advantages come from a critic of states.

    The other attributes are those of `OnPolicy`.

    Attributes:
        gamma: discount factor.
        lam: λ of generalised advantage estimation.
        value_clip: largest change of a value in a round, in reward units; None (default) does not
            clip.
        value_coef: weight of the value loss.
        value_scale: unit of the critic's predictions, in reward units; best near the spread of
            returns.
        value_start: value of every state before training, in reward units.
        value_bins: number of bins of a critic that predicts a distribution and learns by
            cross-entropy (`learners.networks.hl_gauss`); values are not clipped then. 0 is a critic
            that predicts a number.
        value_bounds: lowest and highest return of an episode, in reward units; the bins cover this
            range.
        head: kind of a value head without bins.
        critic: kind of the critic: `head` shares the policy's trunk, `trunk` has a trunk of its
            own, `none` leaves the critic out.
        whiten: whether advantages of the round are whitened.
    """

    gamma: Annotated[float, SHARE] = 0.99
    lam: Annotated[float, SHARE] = 0.95
    value_clip: Annotated[float | None, POSITIVE, _CRITIC, _NO_BINS] = None
    value_coef: Annotated[float, NOT_NEGATIVE, _CRITIC] = 0.25
    value_scale: Annotated[float, POSITIVE, _CRITIC, _NO_BINS] = 1.0
    value_start: Annotated[float, _CRITIC] = 0.0
    value_bins: Annotated[int, NOT_NEGATIVE, _CRITIC] = 0
    value_bounds: Annotated[tuple[float, float] | None, BOUNDS, Used("algorithm.value_bins")] = None
    head: Annotated[HeadKind, _CRITIC, _NO_BINS] = "linear"
    critic: CriticKind = "head"
    whiten: bool = True

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with a critic whose range is the task's."""
        scale = facts.spread(cls.gamma) / 10.0
        return cls(
            value_start=facts.data, value_scale=scale, kl_coef=0.05, critic="trunk", minibatch=64
        )

    @property
    def has_critic(self) -> bool:
        """Whether values are learned."""
        return self.critic != "none"

    @property
    def critic_form(self) -> CriticForm | None:
        """Parts of the critic of states; None without a critic."""
        if not self.has_critic:
            return None
        own = self.critic == "trunk"
        bounds = self.value_bounds if self.value_bins else None
        return CriticForm(own, 0, True, self.head, self.value_scale, self.value_bins, bounds)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            UsageError: for a KL target without a coefficient to adapt, or bins without bounds.
        """
        super().__post_init__()
        check_bins(self.value_bins, self.value_bounds)

    def network(self, load: Callable[[], CausalLM]) -> Network:
        """Return policy and critic."""
        from learners.networks.actor_critic import actor_critic

        return actor_critic(
            load,
            self.critic,
            self.value_start,
            self.value_scale,
            self.value_bins,
            self.value_bounds,
            entropy_gradient=self.entropy_coef > 0,
            kind=self.head,
        )

    @abstractmethod
    def advantages(self, batch: Batch, value: Entries, reward: Values) -> tuple[Values, Values]:
        """Return advantages and value targets `[N]`, `[N]`.

        Args:
            batch: this rank's episodes.
            value: values of actions' states and bootstrap entries `[N + K]`, in reward units.
            reward: reward of each action token `[N]`.
        """

    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return old values, advantages and value targets `[N]` of a round."""
        count = batch.actions
        advantage, target = self.advantages(batch, old.value, reward)
        value = old.value[:count]
        error = target - value
        n, adv, adv2, err, err2, tgt, tgt2, val, clipped = group.total(
            count,
            advantage.sum(),
            np.square(advantage).sum(),
            error.sum(),
            np.square(error).sum(),
            target.sum(),
            np.square(target).sum(),
            value.sum(),
            clipped_targets(target, self.value_bounds) if self.value_bins else 0,
        )
        n = max(n, 1.0)
        # If all advantages are equal, rounding may leave a variance below 0.
        mean, var = adv / n, max(adv2 / n - (adv / n) ** 2, 0.0)
        spread = tgt2 / n - (tgt / n) ** 2
        metrics = {
            "advantage_std": var**0.5,
            "value_mean": val / n,
            "target_mean": tgt / n,
            "explained_variance": 1.0 - (err2 / n - (err / n) ** 2) / max(spread, 1e-8),
        }
        if self.value_bins:
            metrics["value_targets_clipped"] = clipped / n
        if self.whiten and count:
            advantage = whiten(advantage, mean, var)
        return {"old_value": value, "advantage": advantage, "target": target}, metrics

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return policy loss + value_coef × value loss of a micro-batch.

        The critic learns from every token, whatever its weight in the policy's loss is.
        """
        policy = super().loss(out, targets, normaliser)
        terms = value_terms(
            out.value, targets["old_value"], targets["target"], self.value_clip, self.value_scale
        )
        value = terms.value.sum()
        if out.bins is not None:
            assert self.value_bounds is not None
            from learners.networks.hl_gauss import bin_edges, cross_entropy

            edges = bin_edges(*self.value_bounds, self.value_bins)
            value = cross_entropy(out.bins.float(), targets["target"], edges).sum()
        return LossOutput(
            policy.loss + self.value_coef * value / normaliser,
            {
                **policy.sums,
                "value_loss": value.detach(),
                "value_clipfrac": terms.clipped.sum(),
            },
        )
