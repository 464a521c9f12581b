"""Presets of online algorithms in the fully observed maze, all with the settings of `maze-fo-ppo`.

Only the algorithm differs, so that results at equal numbers of turns can be compared
(`benchmarks/online.py`).
"""

from dataclasses import replace

from cluster.presets.maze_fo import PRESETS as OTHERS
from cluster.presets.preset import Measured, Preset
from learners.algorithms.base import Algorithm
from learners.algorithms.online.archer import ArCHer
from learners.algorithms.online.gigpo import GiGPO
from learners.algorithms.online.grpo import GRPO, DrGRPO
from learners.algorithms.online.gspo import GSPO
from learners.algorithms.online.reinforce import Reinforce
from learners.algorithms.online.rloo import RLOO
from learners.algorithms.online.turn_ppo import TurnPPO


def _like_ppo(algorithm: Algorithm, measured: Measured | None = None) -> Preset:
    """Return the experiment of `maze-fo-ppo` with another algorithm."""
    return Preset(replace(OTHERS["maze-fo-ppo"].experiment, algorithm=algorithm), measured)


def _measured(returns: tuple[float, float, float], minutes: float) -> Measured:
    return Measured("online-maze-fo", returns, minutes, "7788638")


PRESETS: dict[str, Preset] = {
    "maze-fo-turn-ppo": _like_ppo(
        TurnPPO(value_scale=10.0, value_start=-30.0, kl_coef=0.05, minibatch=512),
        _measured((-7.04, -17.71, -6.99), 3.2),
    ),
    "maze-fo-archer": _like_ppo(
        # The values of the start policy lie near -1 / (1 - gamma).
        ArCHer(value_scale=10.0, value_start=-20.0, kl_coef=0.05, minibatch=512),
        _measured((-18.39, -25.66, -54.72), 6.2),
    ),
    # A round has few groups, and one step on it would be too few for 24 rounds.
    "maze-fo-reinforce": _like_ppo(Reinforce(kl_coef=0.05, epochs=4, minibatch=512)),
    "maze-fo-rloo": _like_ppo(
        RLOO(kl_coef=0.05, epochs=4, minibatch=512), _measured((-19.07, -11.74, -44.09), 4.3)
    ),
    "maze-fo-grpo": _like_ppo(
        GRPO(kl_coef=0.05, minibatch=512), _measured((-7.41, -7.49, -12.17), 3.1)
    ),
    "maze-fo-dr-grpo": _like_ppo(DrGRPO(kl_coef=0.05, minibatch=512)),
    "maze-fo-gspo": _like_ppo(
        GSPO(kl_coef=0.05, minibatch=512), _measured((-7.16, -7.12, -11.14), 2.6)
    ),
    "maze-fo-gigpo": _like_ppo(
        GiGPO(kl_coef=0.05, minibatch=512), _measured((-7.0, -6.95, -6.97), 2.4)
    ),
}
