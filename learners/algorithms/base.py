"""What an algorithm is: a frozen dataclass of hyper-parameters with `prepare` and `loss`.

A new algorithm is one file with one such class. `prepare` runs once per batch and without gradient:
it turns the network outputs before the first optimiser step into target columns `[N]`. `loss` runs
for every micro-batch. Its inputs are flat columns only: no padding, no masks, no turns.

The files of this package import torch inside functions and for the type checker only. So presets,
which are values with an algorithm in them, are listed without torch. An algorithm of your own may
import torch at the top of its file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from learners.batch import Batch
from learners.config import HeadKind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learners.networks.causal_lm import CausalLM

Columns = dict[str, NDArray[np.floating]]
Metrics = dict[str, float]


class TaskFacts(NamedTuple):
    """What an algorithm's defaults for a task are made of.

    Attributes:
        horizon: largest number of turns of an episode.
        lowest_reward, highest_reward: bounds of the reward of one turn, in reward units.
        worst, data, best: constants of the task's score, in reward units.
    """

    horizon: int
    lowest_reward: float
    highest_reward: float
    worst: float
    data: float
    best: float

    @property
    def gamma(self) -> float:
        """Discount factor at turn borders: 0.95 for episodes of up to 20 turns, else 0.99."""
        return 0.95 if self.horizon <= 20 else 0.99

    def lowest(self, gamma: float) -> float:
        """Return the lowest discounted return of an episode, in reward units.

        Args:
            gamma: discount factor, below 1.
        """
        return max(self.worst, self.lowest_reward / (1.0 - gamma))

    @property
    def highest(self) -> float:
        """Highest return of an episode, in reward units."""
        finite = math.isfinite(self.highest_reward)
        return max(self.best, self.highest_reward) if finite else self.best

    def spread(self, gamma: float) -> float:
        """Return the difference of the highest and the lowest return, in reward units."""
        return max(self.highest - self.lowest(gamma), 1e-6)


class ProcessGroup(Protocol):
    """The part of the ranks' process group that an algorithm uses."""

    def total(self, *values: float) -> list[float]:
        """Return the sums of `values` over all ranks."""
        ...


@dataclass(frozen=True)
class OldOutputs:
    """Network outputs for a batch before the first optimiser step on it.

    Attributes:
        logprob: log-probabilities of the action tokens under the policy `[N]`, in nats.
        value: values from the critic, or from the V head that values following states `[N + K]`,
            in reward units; zeros without a critic or V head.
        reference: log-probabilities of the action tokens under the frozen reference policy `[N]`,
            in nats; zeros without a reference policy.
        target_q: target values of the actions, one row per Q head `[heads, N + K]`, in reward
            units; no rows without a target network.
    """

    logprob: NDArray[np.floating]
    value: NDArray[np.floating]
    reference: NDArray[np.floating]
    target_q: NDArray[np.floating]


@dataclass(frozen=True)
class LossOutput:
    """A loss over one micro-batch.

    Attributes:
        loss: loss, a scalar: the sum over this micro-batch, divided by the normaliser of all ranks.
        sums: named sums over this micro-batch's action tokens. The learner reports their means
            over all action tokens of all ranks.
    """

    loss: Tensor
    sums: dict[str, Tensor]


@dataclass(frozen=True)
class TargetConfig:
    """Settings of a target network: θ' ← alpha θ + (1 − alpha) θ' after each optimiser step.

    Attributes:
        alpha: step size of the moving average, above 0 and at most 1.
        trunk: whether the target has a trunk of its own. If not, its heads read the trained trunk.
        hard_every: number of optimiser steps between full copies, which come on top of the moving
            average; 0 makes no full copies.
        bootstrap: state from which a truncated episode is bootstrapped: the one after the
            environment's last `reply`, or the one after the last `action`.
        v: whether the target's V head values following states. If not, the trained V head does.
    """

    alpha: float
    trunk: bool = True
    hard_every: int = 0
    bootstrap: Literal["reply", "action"] = "reply"
    v: bool = False


@dataclass(frozen=True)
class CriticForm:
    """Parts of a critic, which decide whether another run can take it over.

    Attributes:
        trunk: whether it has a trunk of its own. If not, its head reads the policy's trunk.
        q_heads: number of its Q heads.
        v: whether it has a V head.
        head: kind of its Q heads, and of a V head without bins.
        scale: unit of the outputs of its Q heads, and of a V head without bins, in reward units.
        bins: number of bins of a V head that predicts a distribution; 0 predicts a number.
        bounds: lowest and highest value that the bins cover, in reward units; None without bins.
    """

    trunk: bool
    q_heads: int
    v: bool
    head: HeadKind
    scale: float
    bins: int = 0
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class ValueGuidance:
    """Sampling from softmax(log π_start + beta × the smallest Q), see `actors.value_guided`.

    Attributes:
        heads: number of Q heads.
        kind: kind of the Q heads.
        scale: unit of the heads' outputs, in reward units.
        beta: weight of Q.
        top_p: probability mass of the start policy's nucleus; tokens outside it are not sampled. 1
            allows every token.
        q_from: source of Q: the outputs of the heads (`value`), the `probability` that the heads
            give a token (`learners.algorithms.offline.qsft`), or the `ratio` of that probability
            to the start policy's, at most 1.
        support: for `probability` and `ratio`, the smallest probability of a token under the start
            policy, as a share of the most probable token's. Q of a token below it is 0.
    """

    heads: int
    kind: HeadKind
    scale: float
    beta: float
    top_p: float = 1.0
    q_from: Literal["value", "probability", "ratio"] = "value"
    support: float = 0.0

    def tokens(self, outputs: int) -> int:
        """Return the number of tokens of a Q head.

        A head has one output per token. For a probability or ratio there is one more, for the rest
        symbol.

        Args:
            outputs: number of outputs of the head.
        """
        return outputs - (self.q_from != "value")


class Algorithm(ABC):
    """Hyper-parameters, and how they are used.

    Subclasses are frozen dataclasses. This class holds the defaults of what they do not define.
    """

    name: ClassVar[str]
    on_policy: ClassVar[bool] = False
    """Whether it learns from fresh episodes of its own policy (else from a data set)."""
    epochs: int = 1
    """Passes over each batch."""
    group: int = 1
    """Number of episodes of a round that begin in the same state."""
    minibatch: int = 0
    """Number of segments per optimiser step, all ranks together; 0 is the whole batch."""
    replay: float = 0.0
    """Share of a round's episodes that are not fresh: half of them come from a data set, half from
    the run's earlier rounds."""
    bc_coef: float = 0.0
    """Weight of a behaviour-cloning term on a data set, added to the algorithm's own loss."""
    needs_critic: ClassVar[bool] = False
    """Whether a run has to begin with the critic of another run."""
    follows: ClassVar[str] = "bc"
    """Algorithm that makes the start policy where no preset names one."""
    candidates: int = 0
    """Number of actions that the start policy samples in each state of the data set, of which the
    best one is learned from; 0 learns from the data set itself."""
    selects: ClassVar[bool] = False
    """Whether it learns from some episodes only: those that `select` returns."""

    @classmethod
    def for_task(cls, facts: TaskFacts) -> Self:
        """Return the algorithm with hyper-parameters for a task that has no preset."""
        return cls()

    def select(self, returns: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the indices of the episodes that are learned from, ascending.

        Args:
            returns: undiscounted return of each episode of a data set or of a round `[episodes]`,
                in reward units.
        """
        return np.arange(len(returns))

    def evaluates(self, state: Mapping[str, float]) -> bool:
        """Return whether `prepare` needs `OldOutputs`. If not, that forward pass is skipped.

        Args:
            state: numbers that change during a run; see `start_state`.
        """
        return False

    @property
    def observations(self) -> bool:
        """Whether the loss uses observation tokens."""
        return False

    @property
    def reference(self) -> bool:
        """Whether a frozen copy of the start policy is kept."""
        return self.guidance is not None

    @property
    def target_config(self) -> TargetConfig | None:
        """Settings of the target network; None if there is no target network.

        Without a target network the loss gets no columns of following states.
        """
        return None

    @property
    def guidance(self) -> ValueGuidance | None:
        """How the sampler combines action values with the start policy; None samples from the
        trained policy."""
        return None

    @property
    def critic_form(self) -> CriticForm | None:
        """Parts of the critic, which checkpoints keep and other runs can take over; None without
        a critic."""
        return None

    @abstractmethod
    def network(self, load: Callable[[], CausalLM]) -> nn.Module:
        """Return the network that is trained.

        Args:
            load: function that returns a new copy of the start policy.
        """

    def start_state(self) -> dict[str, float]:
        """Return the initial values of the numbers that change during a run and are saved in its
        checkpoints."""
        return {}

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return target columns `[N]`, metrics, and the state of the next round.

        Args:
            batch: this rank's episodes.
            old: network outputs before the first optimiser step on the batch.
            group: process group of all ranks.
            state: numbers that change during a run, see `start_state`, and `epoch`, the number of
                finished passes over the batch. With a target network this method runs before each
                pass, otherwise once.
        """
        return {}, {}, {}

    def weight(self, actions: int, observations: int) -> float:
        """Return the normaliser of a loss over so many action and observation tokens."""
        return float(actions)

    @abstractmethod
    def loss(self, out: Any, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return the loss of a micro-batch whose entries are actions.

        Args:
            out: outputs of the network at the entries `[E]` and observation tokens `[E']`.
            targets: columns of `prepare` at the entries, `[E]` each, without gradient. With a
                target network there are three more: `target_q` `[heads, E]` at the entries, and
                `v_next` `[E]` and `target_q_next` `[heads, E]` at the following states.
            normaliser: `weight` of the whole minibatch, all ranks together.
        """

    def minibatches(self, segments: int) -> int:
        """Return the number of minibatches for a number of segments, all ranks together."""
        return max(1, round(segments / self.minibatch)) if self.minibatch else 1

    def steps(self, segments: int) -> int:
        """Return the largest number of optimiser steps of an update with this number of segments,
        all ranks together."""
        return self.epochs * self.minibatches(segments)

    def stop(self, metrics: Metrics) -> bool:
        """Return whether to skip the rest of the batch's minibatches.

        Args:
            metrics: metrics of the latest minibatch.
        """
        return False
