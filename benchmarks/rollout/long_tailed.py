"""A task whose episodes have geometric lengths: most are short and a few are long."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmrl.env import Player, ScoreRange, Step, TextEnv
from lmrl.seeds import fresh_seed


@dataclass
class State:
    """Number of turns that are left, and all of them."""

    left: int
    turns: int


class LongTailed(TextEnv):
    """An episode whose number of turns is drawn from a geometric distribution.

    Args:
        mean: mean number of turns before the limit.
        limit: largest number of turns.
    """

    reward_range = (0.0, 1.0)
    score_range = ScoreRange(worst=0.0, data=0.5, best=1.0)
    instructions = "Say anything."

    def __init__(self, mean: float = 8.0, limit: int = 100) -> None:
        self.mean, self.max_turns = mean, limit

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Draw the length."""
        seed = fresh_seed() if seed is None else seed
        turns = min(int(np.random.default_rng(seed).geometric(1 / self.mean)), self.max_turns)
        self.state = State(turns, turns)
        return "go on\n", {"seed": seed}

    def step(self, action: str) -> Step:
        """Take any action; the last one is rewarded."""
        if self.state is None:
            raise RuntimeError("no episode is running; call reset")
        self.state.left -= 1
        if self.state.left:
            return Step.going("go on\n", 0.0, replaces_history=True)
        self.state = None
        return Step.ended("done\n", 1.0)

    def _say(self, rng: random.Random) -> Player:
        return lambda observation: "yes\n"

    players = dict.fromkeys(("random", "optimal", "mixture"), _say)
