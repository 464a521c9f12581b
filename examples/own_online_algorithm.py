"""An online algorithm: the return from each turn on, cut to its sign.

lmrl train maze-fo-ppo --algorithm examples.own_online_algorithm:SignOfReturn --dry-run
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from learners.algorithms.base import Columns, Metrics, OldOutputs, ProcessGroup
from learners.algorithms.online.on_policy import OnPolicy
from learners.algorithms.returns import Values, per_step, reward_to_go
from learners.batch import Batch
from lmrl.limits import SHARE


@dataclass(frozen=True)
class SignOfReturn(OnPolicy):
    """Policy gradient with the sign of G − mean(G), where G is the return from a token on.

    A few very bad episodes cannot dominate a round.

    Attributes:
        gamma: discount factor at turn borders.
    """

    gamma: Annotated[float, SHARE] = 0.99

    name: ClassVar[str] = "sign-of-return"

    def estimates(
        self, batch: Batch, old: OldOutputs, reward: Values, group: ProcessGroup
    ) -> tuple[Columns, Metrics]:
        """Return the advantage of every action token `[N]`."""
        returns = reward_to_go(reward, batch.next, per_step(self.gamma, batch.turn_end, "turn"))
        count, total = group.total(batch.actions, returns.sum())  # over all ranks
        mean = total / max(count, 1.0)
        return {"advantage": np.sign(returns - mean)}, {"baseline": mean}
