"""PPO with two discounts: one between turns, and one between the tokens of a turn."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from learners.algorithms.online.critic import ActorCritic
from learners.algorithms.returns import Entries, Values, bi_level_gae
from learners.batch import Batch
from lmrl.limits import SHARE


@dataclass(frozen=True)
class TurnPPO(ActorCritic):
    """PPO with bi-level generalised advantage estimates (VAGEN, arXiv:2510.16907).

    Estimates over turns, with `gamma` and `lam`, value what a turn brought about. Estimates over
    the tokens of a turn, with `gamma_token` and `lam_token`, then begin with the turn's advantage
    at its last token. So λ below 1 at turns does not blur the credit of tokens, and a critic that
    is wrong at a token of another turn does not matter. `learners.algorithms.returns.bi_level_gae`
    has the equations.

    `ratio turn` clips the ratio of whole turns, as turn-level PPO does (arXiv:2512.17008). The
    other attributes are those of `ActorCritic` and `OnPolicy`.

    Attributes:
        gamma_token: discount factor between the tokens of a turn.
        lam_token: λ between the tokens of a turn.
    """

    gamma_token: Annotated[float, SHARE] = 1.0
    lam_token: Annotated[float, SHARE] = 1.0

    name: ClassVar[str] = "turn_ppo"

    def advantages(self, batch: Batch, value: Entries, reward: Values) -> tuple[Values, Values]:
        """Return bi-level advantage estimates and value targets `[N]`, `[N]`."""
        return bi_level_gae(
            value,
            reward,
            batch.next,
            batch.turn_end,
            (self.gamma, self.lam),
            (self.gamma_token, self.lam_token),
        )
