"""Proximal policy optimisation over action tokens, with the benchmark's parity switches.

The defaults repair faults that the published loop has on long episodes:

- Credit is discounted at turn borders instead of at every token.
- Values are not clipped: with returns of -100 a clip of 0.2 stops the critic from learning.
- The learner clips gradients.
- A time limit is bootstrapped.

`credit="token"`, `value_clip=0.2` and `value_scale=1` give the published formulas.
"""

from dataclasses import dataclass
from typing import ClassVar

from learners.algorithms.online.critic import ActorCritic
from learners.algorithms.returns import Credit, Entries, Values, gae, per_step
from learners.batch import Batch


@dataclass(frozen=True)
class PPO(ActorCritic):
    """PPO (Schulman et al. 2017, arXiv:1707.06347) over the action tokens of an episode.

    By default a KL penalty towards the start policy is inside the reward. The other attributes are
    those of `ActorCritic` and `OnPolicy`.

    Attributes:
        credit: whether γ and λ act at each action token or at each turn border.
    """

    credit: Credit = "turn"

    name: ClassVar[str] = "ppo"

    def advantages(self, batch: Batch, value: Entries, reward: Values) -> tuple[Values, Values]:
        """Return generalised advantage estimates and value targets `[N]`, `[N]`."""
        return gae(
            value,
            reward,
            batch.next,
            per_step(self.gamma, batch.turn_end, self.credit),
            per_step(self.lam, batch.turn_end, self.credit),
        )
