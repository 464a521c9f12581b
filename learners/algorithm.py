"""What an algorithm is: a frozen dataclass of hyper-parameters with `prepare` and `loss`.

A new algorithm is one file with one such class. `prepare` runs once a batch and without gradient:
it turns what the networks say now into target columns `[N]`. `loss` runs for every micro-batch and
sees flat columns only: no padding, no masks, no turns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learners.batch import Batch
from learners.model import Critic, Outputs

Columns = dict[str, NDArray[np.floating]]
Metrics = dict[str, float]


class Ranks(Protocol):
    """The other ranks, as far as an algorithm needs them."""

    def total(self, *values: float) -> list[float]:
        """Return the sums of `values` over all ranks."""
        ...


@dataclass(frozen=True)
class Now:
    """What the networks say about a batch before any update of it.

    Attributes:
        logprob: of the policy `[N]`.
        value: of the critic `[N + K]`; zeros without one.
        reference: log-prob of the frozen reference policy `[N]`; zeros without one.
    """

    logprob: NDArray[np.floating]
    value: NDArray[np.floating]
    reference: NDArray[np.floating]


@dataclass(frozen=True)
class Terms:
    """A loss over one micro-batch.

    Attributes:
        loss: a scalar: the sum over this micro-batch divided by the normaliser of all ranks.
        sums: named sums over this micro-batch's action tokens; the learner reports their means
            over all action tokens of all ranks.
    """

    loss: Tensor
    sums: dict[str, Tensor]


class Algorithm(Protocol):
    """Hyper-parameters, and what they mean."""

    name: ClassVar[str]
    on_policy: ClassVar[bool]
    """Whether it learns from fresh episodes of its own policy (else from a data set)."""
    evaluates: ClassVar[bool]
    """Whether `prepare` needs `Now`; without, the batch is not run forward beforehand."""

    @property
    def epochs(self) -> int:
        """Passes over each batch."""
        ...

    @property
    def minibatch(self) -> int:
        """Segments of all ranks per optimiser step; 0 is the whole batch."""
        ...

    @property
    def observations(self) -> bool:
        """Whether the loss looks at observation tokens."""
        ...

    @property
    def critic(self) -> Critic:
        """Which critic the network has."""
        ...

    @property
    def reference(self) -> bool:
        """Whether a frozen copy of the start policy is kept."""
        ...

    @property
    def value_scale(self) -> float:
        """The critic predicts in units of this."""
        ...

    @property
    def value_start(self) -> float:
        """What the critic predicts before any training, in reward units."""
        ...

    @property
    def bc_coef(self) -> float:
        """Weight of a cloning term on a data set, beside the algorithm's own loss."""
        ...

    def start_state(self) -> dict[str, float]:
        """Return numbers that change during a run and are saved with it."""
        ...

    def prepare(
        self, batch: Batch, now: Now, ranks: Ranks, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return target columns `[N]`, metrics, and the state of the next round."""
        ...

    def weight(self, actions: int, observations: int) -> float:
        """Return the normaliser of some action and observation tokens."""
        ...

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> Terms:
        """Return the loss of a micro-batch whose entries are actions.

        Args:
            out: network outputs at the entries `[E]` and observation tokens `[E']`.
            targets: the columns of `prepare` at the entries, `[E]` each.
            normaliser: `weight` of the whole minibatch, all ranks together.
        """
        ...

    def stop(self, metrics: Metrics) -> bool:
        """Return whether the rest of the batch's minibatches are to be skipped."""
        ...


def as_json(algorithm: Algorithm) -> dict[str, Any]:
    """Return the hyper-parameters with the algorithm's name."""
    from dataclasses import asdict

    return {"name": algorithm.name, **asdict(algorithm)}  # type: ignore[call-overload]
