"""Group sequence policy optimisation."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from learners.algorithms.online.grpo import GRPO
from lmrl.limits import POSITIVE


@dataclass(frozen=True)
class GSPO(GRPO):
    """Group sequence policy optimisation (Zheng et al. 2025, arXiv:2507.18071, eq. 5-7).

    s = (π(y | x) / π_old(y | x))^(1/|y|), and the loss is the mean over sequences of
    max(−A s, −A clip(s)), with the advantage of GRPO. The paper's sequence is the response to a
    prompt. The policy of a multi-turn task gives one response per turn, each to a context of its
    own, so s is the ratio of a *turn*. A is that of the whole episode, and every episode counts the
    same, as every sequence does in the paper: a mean over turns would give long failures, whose
    many turns all have a negative advantage, most of the weight.

    The published bounds, 3e-4 and 4e-4, are for responses of thousands of tokens. A mean over the
    few tokens of a short action varies more, so the default bounds are wider. The attributes are
    those of `GRPO` and `OnPolicy`.
    """

    clip: Annotated[float, POSITIVE] = 0.1
    clip_high: Annotated[float | None, POSITIVE] = 0.13
    ratio: Literal["token", "turn"] = "turn"

    name: ClassVar[str] = "gspo"
