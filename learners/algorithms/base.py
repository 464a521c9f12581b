"""What an algorithm is: a frozen dataclass of hyper-parameters with `prepare` and `loss`.

A new algorithm is one file with one such class. `prepare` runs once a batch and without gradient:
it turns what the networks say now into target columns `[N]`. `loss` runs for every micro-batch and
sees flat columns only: no padding, no masks, no turns.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from learners.batch import Batch
from learners.networks.causal_lm import CausalLM

Columns = dict[str, NDArray[np.floating]]
Metrics = dict[str, float]


class ProcessGroup(Protocol):
    """The other ranks, as far as an algorithm needs them."""

    def total(self, *values: float) -> list[float]:
        """Return the sums of `values` over all ranks."""
        ...


@dataclass(frozen=True)
class OldOutputs:
    """What the networks say about a batch before any update of it.

    Attributes:
        logprob: of the policy `[N]`.
        value: of the critic, or of the V head that values following states `[N + K]`; zeros
            without one.
        reference: log-prob of the frozen reference policy `[N]`; zeros without one.
        target_q: target values of the actions, one row a Q head `[heads, N + K]`; no rows without
            a target network.
    """

    logprob: NDArray[np.floating]
    value: NDArray[np.floating]
    reference: NDArray[np.floating]
    target_q: NDArray[np.floating]


@dataclass(frozen=True)
class LossOutput:
    """A loss over one micro-batch.

    Attributes:
        loss: a scalar: the sum over this micro-batch divided by the normaliser of all ranks.
        sums: named sums over this micro-batch's action tokens; the learner reports their means
            over all action tokens of all ranks.
    """

    loss: Tensor
    sums: dict[str, Tensor]


@dataclass(frozen=True)
class TargetConfig:
    """How a target network follows: θ' ← alpha θ + (1 − alpha) θ' after each optimiser step.

    Attributes:
        alpha: of the step.
        trunk: whether the target has a trunk of its own, or its heads read the trained one's.
        hard_every: steps between full copies beside the slow ones; 0 has none.
        bootstrap: where an episode that was cut goes on: after the environment's last `reply`, or
            after the last `action`.
        v: whether following states are valued by the target's V head, or by the trained one.
    """

    alpha: float
    trunk: bool = True
    hard_every: int = 0
    bootstrap: Literal["reply", "action"] = "reply"
    v: bool = False


@dataclass(frozen=True)
class ValueGuidance:
    """Sampling from softmax(log π_start + beta × the smallest Q), see `actors.value_guided`.

    Attributes:
        heads: number of Q heads.
        kind: of the heads.
        scale: the heads' unit.
        beta: weight of Q.
        top_p: only tokens in the start policy's nucleus of this mass may be sampled; 1 is all.
        q_from: what Q is: the outputs of the heads (`value`), the `probability` that they give a
            token (`learners.algorithms.qsft`), or the `ratio` of that to the start policy's, at
            most 1.
        support: for a probability or ratio, the least probability of a token under the start policy
            as a share of the most probable token's; Q of a token below it is 0.
    """

    heads: int
    kind: Literal["mlp", "linear"]
    scale: float
    beta: float
    top_p: float = 1.0
    q_from: Literal["value", "probability", "ratio"] = "value"
    support: float = 0.0

    def outputs(self, vocabulary: int) -> int:
        """Return how many outputs a Q head has: one a token, and one for the rest symbol."""
        return vocabulary + (self.q_from != "value")


class Algorithm(ABC):
    """Hyper-parameters, and what they mean. Subclasses are frozen dataclasses; what they do not
    say is said here."""

    name: ClassVar[str]
    on_policy: ClassVar[bool] = False
    """Whether it learns from fresh episodes of its own policy (else from a data set)."""
    epochs: int = 1
    """Passes over each batch."""
    minibatch: int = 0
    """Segments of all ranks per optimiser step; 0 is the whole batch."""
    replay: float = 0.0
    """Share of what a round learns from that is not fresh: half of it from a data set, half from
    the run's earlier rounds."""
    bc_coef: float = 0.0
    """Weight of a cloning term on a data set, beside the algorithm's own loss."""
    selects: ClassVar[bool] = False
    """Whether it learns from some episodes only: those that `select` returns."""

    def select(self, returns: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the indices of the episodes that are learned from, ascending.

        Args:
            returns: undiscounted, of each episode of a data set or of a round `[episodes]`.
        """
        return np.arange(len(returns))

    def evaluates(self, state: Mapping[str, float]) -> bool:
        """Return whether `prepare` needs `OldOutputs`. If not, that forward pass is left out.

        Args:
            state: numbers that change during a run, see `start_state`.
        """
        return False

    @property
    def observations(self) -> bool:
        """Whether the loss looks at observation tokens."""
        return False

    @property
    def reference(self) -> bool:
        """Whether a frozen copy of the start policy is kept."""
        return self.guidance is not None

    @property
    def target_config(self) -> TargetConfig | None:
        """How the target network follows the trained one; None has no target network, and then
        losses know nothing of following states."""
        return None

    @property
    def guidance(self) -> ValueGuidance | None:
        """How the sampler uses action values beside the start policy; None samples from the policy
        that is trained."""
        return None

    @abstractmethod
    def network(self, load: Callable[[], CausalLM]) -> nn.Module:
        """Return the network that is trained.

        Args:
            load: returns the start policy, a new copy each time.
        """

    def start_state(self) -> dict[str, float]:
        """Return numbers that change during a run and are saved with it."""
        return {}

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return target columns `[N]`, metrics, and the state of the next round."""
        return {}, {}, {}

    def weight(self, actions: int, observations: int) -> float:
        """Return the normaliser of some action and observation tokens."""
        return float(actions)

    @abstractmethod
    def loss(self, out: Any, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return the loss of a micro-batch whose entries are actions.

        Args:
            out: what the network returns at the entries `[E]` and observation tokens `[E']`.
            targets: the columns of `prepare` at the entries, `[E]` each. With a target network also
                `target_q` `[heads, E]`, and of the following states `v_next` `[E]` and
                `target_q_next` `[heads, E]`; all without gradient.
            normaliser: `weight` of the whole minibatch, all ranks together.
        """

    def minibatches(self, segments: int) -> int:
        """Return how many minibatches so many segments of all ranks are split into."""
        return max(1, round(segments / self.minibatch)) if self.minibatch else 1

    def steps(self, segments: int) -> int:
        """Return the most optimiser steps of an update with so many segments of all ranks."""
        return self.epochs * self.minibatches(segments)

    def stop(self, metrics: Metrics) -> bool:
        """Return whether the rest of the batch's minibatches are to be skipped."""
        return False
