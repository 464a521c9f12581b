"""REINFORCE with the batch's mean as the baseline.

The smallest online algorithm: everything but the advantage is in `OnPolicy`.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from learners.algorithms.base import Columns, Metrics, OldOutputs, ProcessGroup
from learners.algorithms.online.on_policy import OnPolicy
from learners.algorithms.returns import Values, per_step, reward_to_go, whiten
from learners.batch import Batch
from lmrl.limits import COUNT, NOT_NEGATIVE, SHARE


@dataclass(frozen=True)
class Reinforce(OnPolicy):
    """REINFORCE (Williams 1992, section 4) with a batch baseline.

    A_n = G_n − mean(G), where G_n = r_n + γ_n G_next is the return from token n on and the mean is
    over all action tokens of the round. With `whiten` it is divided by the standard deviation of
    the round, as in REINFORCE++ (Hu 2025, arXiv:2501.03262, eq. 7-8). γ acts at turn borders, so
    all tokens of a turn have the same return. In a single-turn task G is the reward of the
    response. A state from which a truncated episode would go on counts as 0, since no critic values
    it.

    With one pass and one minibatch (the defaults) the ratio is 1, and the gradient is that of
    −A log π. The other attributes are those of `OnPolicy`.

    Attributes:
        gamma: discount factor at turn borders.
        whiten: whether advantages are divided by their standard deviation.
    """

    gamma: Annotated[float, SHARE] = 0.99
    whiten: bool = True
    epochs: Annotated[int, COUNT] = 1
    minibatch: Annotated[int, NOT_NEGATIVE] = 0

    name: ClassVar[str] = "reinforce"

    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return the advantages `[N]` of a round."""
        returns = reward_to_go(reward, batch.next, per_step(self.gamma, batch.turn_end, "turn"))
        n, total, squares = group.total(batch.actions, returns.sum(), np.square(returns).sum())
        mean = total / max(n, 1.0)
        var = max(squares / max(n, 1.0) - mean**2, 0.0)
        advantage = whiten(returns, mean, var) if self.whiten else returns - mean
        return {"advantage": advantage}, {"baseline": mean, "advantage_std": var**0.5}
