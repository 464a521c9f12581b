"""REINFORCE leave-one-out."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from learners.algorithms.online.group_relative import GroupRelative
from learners.algorithms.online.groups import Values, leave_one_out
from learners.batch import Index
from lmrl.limits import COUNT, NOT_NEGATIVE


@dataclass(frozen=True)
class RLOO(GroupRelative):
    """REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv:2402.14740, section 3).

    A_i = R_i − 1/(k−1) Σ_{j≠i} R_j over the k episodes of a group. The paper takes the whole
    response as one action; here that is the whole episode. Its reward holds the KL penalty, so this
    one does too (`kl_in`).

    With one pass and one minibatch (the defaults) the gradient is that of −A Σ log π, as in the
    paper. More of them use the clipped ratio of PPO. The attributes are those of `OnPolicy`.
    """

    epochs: Annotated[int, COUNT] = 1
    minibatch: Annotated[int, NOT_NEGATIVE] = 0

    name: ClassVar[str] = "rloo"

    def compare(self, returns: Values, group: Index) -> Values:
        """Return each return minus the mean of the others of its group `[M]`."""
        return leave_one_out(returns, group)
