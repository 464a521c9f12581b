"""Group relative policy optimisation, as published and in its unbiased form."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from learners.algorithms.online.group_relative import GroupRelative
from learners.algorithms.online.groups import Values, compared
from learners.algorithms.online.losses import KLEstimator, Unit
from learners.batch import Index
from lmrl.limits import NOT_NEGATIVE, Used

_WITH_KL = Used("algorithm.kl_coef")


@dataclass(frozen=True)
class GRPO(GroupRelative):
    """Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300).

    A_i = (R_i − mean(R)) / std(R) over the episodes of a group (section 4.1.2, outcome
    supervision). The loss is the mean over episodes of the mean over their action tokens of
    max(−A ρ, −A clip(ρ)) + β k3 (eq. 3 and 4; its gradient is eq. 21). The paper's sequence is the
    response. Here it is the episode without its observations, and the mean of an episode is over
    the action tokens of all its turns.

    `skip_equal`, `clip_high` and `mean_over token` make it DAPO (arXiv:2503.14476), without its
    additional sampling. The other attributes are those of `OnPolicy`.

    Attributes:
        by_std: whether the difference to the group's mean is divided by the group's standard
            deviation.
    """

    by_std: bool = True
    mean_over: Unit = "episode"
    kl_coef: Annotated[float, NOT_NEGATIVE] = 0.04
    kl_in: Annotated[Literal["reward", "loss"], _WITH_KL] = "loss"
    kl_estimator: Annotated[KLEstimator, _WITH_KL] = "k3"

    name: ClassVar[str] = "grpo"

    def compare(self, returns: Values, group: Index) -> Values:
        """Return the standardised return within the group `[M]`."""
        return compared(returns, group, self.by_std)


@dataclass(frozen=True)
class DrGRPO(GRPO):
    """GRPO done right (Liu et al. 2025, arXiv:2503.20783, section 3.2).

    It leaves out two divisors that bias GRPO: the standard deviation of the group, which gives easy
    and hard tasks a larger weight, and the length of the episode, which makes long failures cheap.
    The paper divides by a constant; here it is the number of action tokens of the minibatch, which
    is the same for all of its episodes. There is no KL penalty by default, as in the paper. The
    attributes are those of `GRPO` and `OnPolicy`.
    """

    by_std: bool = False
    mean_over: Unit = "token"
    kl_coef: Annotated[float, NOT_NEGATIVE] = 0.0

    name: ClassVar[str] = "dr_grpo"
