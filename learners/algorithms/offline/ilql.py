"""Implicit language Q-learning (Snell et al. 2022, arXiv:2206.11871), as the benchmark uses it.

The defaults repair faults of the published code:

- Credit is discounted at turn borders instead of at every token (`credit="token"`).
- A time limit is bootstrapped after the environment's reply (`bootstrap="action"`: before it).
- Targets take V from the target network (`target_v`).
- Values of tokens that were never taken are kept low (`cql_weight` above 0).

Every action token bootstraps from the state of the next action token, also inside a turn. With one
bootstrap per turn, the value of a first token would be the mean over the data's continuations.
Where all actions begin with the same token, no maximum would be left. `lam` above 0 turns the
one-step target into TD(λ), with λ at turn borders only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, Self

import numpy as np

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
from learners.algorithms.bins import check_bins, clipped_targets
from learners.algorithms.offline.value_based import ValueBased
from learners.algorithms.returns import lambda_returns, off_policy_decay, per_step
from learners.batch import Batch
from lmrl.limits import BOUNDS, COUNT, NOT_NEGATIVE, SHARE, Range

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from learners.networks.causal_lm import CausalLM
    from learners.networks.values import ValueNetwork, ValueOutputs


class ILQLTerms(NamedTuple):
    """Per-token terms of the loss, `[N]` each.

    Attributes:
        q: half the squared errors of the Q heads `[heads, N]`.
        v: expectile loss of V `[N]`.
    """

    q: Float[Tensor, "heads N"]
    v: Float[Tensor, "N"]


def ilql_terms(
    q: Float[Tensor, "heads N"],
    v: Float[Tensor, "N"],
    target_q: Float[Tensor, "N"],
    y: Float[Tensor, "N"],
    tau: float,
) -> ILQLTerms:
    """Return the terms of the loss (arXiv 2311.18232, appendix D; arXiv:2206.11871, eq. 2-3).

    y = r + γ V(next);  L_q = ½ (Q − y)²;  L_v = |τ − 1[Q' < V]| ½ (V − Q')² with Q' the smaller of
    the target values; the case Q' = V counts as Q' above V.

    Args:
        q: values of the actions `[heads, N]`, in reward units.
        v: values of the states in which the actions were taken `[N]`, in reward units.
        target_q: smallest target value of the actions `[N]`, without gradient.
        y: regression targets of `q` `[N]`, without gradient.
        tau: expectile τ, between 0 and 1.
    """
    weight = expectile_weight(target_q, v, tau)
    return ILQLTerms(0.5 * (q - y).square(), weight * 0.5 * (v - target_q).square())


def expectile_weight(
    target_q: Float[Tensor, "N"], v: Float[Tensor, "N"], tau: float
) -> Float[Tensor, "N"]:
    """Return |τ − 1[Q' < V]| `[N]`, without gradient."""
    import torch

    return torch.where(target_q >= v.detach(), tau, 1.0 - tau)


@dataclass(frozen=True)
class ILQL(ValueBased):
    """Implicit language Q-learning.

    The other attributes are those of `ValueBased`. λ acts at the same places as γ. Every action
    token bootstraps, whatever `credit` is.

    Attributes:
        lam: λ of the targets of Q; 0 is the one-step target. Above 0 the target of a turn's last
            token includes returns of the data, which lie below the optimum.
        mc_updates: number of first updates whose targets are the returns of the data, so that
            bootstrapping starts with a network that distinguishes states.
        tau: expectile of the value regression.
        polyak: step size α of the target network.
        target_trunk: whether the target has a trunk of its own.
        target_v: whether targets of Q take V from the target network. The published code takes V
            from the trained network, whose values may rise faster than they settle.
        hard_every: number of optimiser steps between full copies into the target; 0 makes none.
        value_bins: number of bins of a V head that predicts a distribution and learns by
            cross-entropy (`learners.networks.hl_gauss`); 0 is the expectile regression of a number.
            The mean of the weighted targets is the expectile, so both have the same solution.
        value_bounds: lowest and highest return of an episode, in reward units. Targets of Q are
            clipped to this range, so that errors cannot grow by bootstrapping, and the bins cover
            it. None does not clip.
        bootstrap: state from which a truncated episode is bootstrapped: the one after the
            environment's last `reply`, or the one after the last `action`.
    """

    lam: Annotated[float, SHARE] = 0.0
    mc_updates: Annotated[int, NOT_NEGATIVE] = 0
    tau: Annotated[float, Range(above=0.0, below=1.0)] = 0.7
    polyak: Annotated[float, Range(above=0.0, high=1.0)] = 0.005
    target_trunk: bool = True
    target_v: bool = True
    hard_every: Annotated[int, NOT_NEGATIVE] = 0
    value_bins: Annotated[int, NOT_NEGATIVE] = 0
    value_bounds: Annotated[tuple[float, float] | None, BOUNDS] = None
    bootstrap: Literal["reply", "action"] = "reply"

    name: ClassVar[str] = "ilql"

    def __post_init__(self) -> None:
        """Refuse bins without bounds.

        Raises:
            UsageError: if the bins or bounds are invalid; the message names the fields.
        """
        check_bins(self.value_bins, self.value_bounds)

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return ILQL that learns returns first, and then bootstraps within the task's range."""
        bounds = (facts.lowest(facts.gamma), facts.highest)
        base = super().for_task(facts)
        return replace(base, mc_updates=150, tau=0.8, polyak=0.1, value_bounds=bounds)

    def start_state(self) -> dict[str, float]:
        """Return the number of finished updates if `mc_updates` needs it, else nothing."""
        return {"updates": 0.0} if self.mc_updates else {}

    def _learns_returns(self, state: Mapping[str, float]) -> bool:
        return bool(self.mc_updates) and state["updates"] < self.mc_updates

    def evaluates(self, state: Mapping[str, float]) -> bool:
        """Return whether values of the whole batch are needed before its first step."""
        return self.lam > 0 or self._learns_returns(state)

    @property
    def target_config(self) -> TargetConfig:
        """Settings of the target network."""
        return TargetConfig(
            self.polyak, self.target_trunk, self.hard_every, self.bootstrap, self.target_v
        )

    @property
    def critic_form(self) -> CriticForm:
        """Parts of the value network."""
        bounds = self.value_bounds if self.value_bins else None
        return replace(super().critic_form, v=True, bins=self.value_bins, bounds=bounds)

    def network(self, load: Callable[[], CausalLM]) -> ValueNetwork:
        """Return the network that is trained."""
        from learners.networks.values import value_network

        return value_network(
            load(),
            self.q_heads,
            self.value_start,
            self.head,
            self.value_scale,
            with_v=True,
            nll=self.cql_weight > 0,
            bins=self.value_bins,
            bounds=self.value_bounds or (-1.0, 1.0),
        )

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return rewards and discounts `[N]`, or the targets `y` `[N]` of TD(λ) and returns."""
        after = {"updates": state["updates"] + 1} if self.mc_updates else {}
        discount = per_step(self.gamma, batch.turn_end, self.credit)
        if self.evaluates(state):
            decay = (
                np.ones(batch.actions)
                if self._learns_returns(state)
                else off_policy_decay(self.lam, batch.turn_end, self.credit)
            )
            y = lambda_returns(old.value, batch.reward, batch.next, discount, decay)
            return {"y": y}, {}, after
        return {"reward": batch.reward, "discount": discount * (batch.next >= 0)}, {}, after

    def loss(
        self, out: ValueOutputs, targets: Mapping[str, Tensor], normaliser: float
    ) -> LossOutput:
        """Return L_q1 + L_q2 + L_v + cql_weight (CE_1 + CE_2) of a micro-batch.

        `targets` has these columns at the actions: `reward` `[N]`, `discount` `[N]` (0 where the
        episode terminated), `target_q` `[heads, N]`, and `v_next` `[N]`, the value of the
        following state. `y` `[N]`, if present, replaces `reward` and `discount`.
        """
        y = targets.get("y")
        if y is None:
            y = targets["reward"] + targets["discount"] * targets["v_next"]
        if self.value_bounds is not None:
            y = y.clamp(*self.value_bounds)
        target_q = targets["target_q"].amin(0)
        terms = ilql_terms(out.q, out.v, target_q, y, self.tau)
        v_loss = terms.v.sum()
        clipped: dict[str, Tensor] = {}
        if out.bins is not None:
            assert self.value_bounds is not None
            from learners.networks.hl_gauss import bin_edges, cross_entropy

            edges = bin_edges(*self.value_bounds, self.value_bins)
            cost = cross_entropy(out.bins.float(), target_q, edges)
            v_loss = (expectile_weight(target_q, out.v, self.tau) * cost).sum()
            clipped["value_targets_clipped"] = clipped_targets(target_q, self.value_bounds)
        total = terms.q.sum() + v_loss + self.cql_weight * out.nll.sum()
        return LossOutput(
            total / normaliser,
            {
                "q_loss": terms.q.detach().sum() / len(out.q),
                "v_loss": v_loss.detach(),
                "cql_loss": out.nll.detach().sum() / len(out.q),
                "q": out.q.detach().mean(0).sum(),
                "v": out.v.detach().sum(),
                "target_q": target_q.sum(),
                "y": y.sum(),
                **clipped,
            },
        )


@dataclass(frozen=True)
class OnlineILQL(ILQL):
    """ILQL that collects its own data.

    Each round plays episodes with the current values, and learns from them and from replayed
    episodes. The start policy does not change.

    (The published code has no version that runs; Snell et al. 2022, section 4, is offline.)

    Attributes:
        replay: share of a round's episodes that are replayed: half of them from the data set, half
            from earlier rounds.
        minibatch: number of segments per optimiser step, all ranks together; 0 is the whole round.
            Values of following states and target values are computed when an epoch begins.
        epochs: number of passes over each round.
    """

    replay: Annotated[float, Range(low=0.0, below=1.0)] = 0.5
    minibatch: Annotated[int, NOT_NEGATIVE] = 512
    epochs: Annotated[int, COUNT] = 4

    name: ClassVar[str] = "online_ilql"
    on_policy: ClassVar[bool] = True
