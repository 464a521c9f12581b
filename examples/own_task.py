"""A task of your own: guess a number between 1 and 100.

    python examples/own_task.py                                   # a scripted episode
    lmrl play examples.own_task:GuessNumber                       # play it yourself
    lmrl check examples.own_task:GuessNumber                      # check the contract of tasks
    lmrl train ppo --task examples.own_task:GuessNumber           # train a policy
    lmrl data generate examples.own_task:GuessNumber --episodes 100 --out data/numbers

Any command that takes a task takes `module:Class`. `lmrl new task NAME` writes a file like this.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmrl.env import Player, ScoreRange, Step, TextEnv
from lmrl.episode import play
from lmrl.seeds import fresh_seed
from lmrl.trajectory import transcript


@dataclass
class State:
    """Everything that changes during an episode."""

    hidden: int
    turns: int = 0


class GuessNumber(TextEnv):
    """One guess a turn; the answer is `higher`, `lower` or `right`. Each wrong guess costs 1."""

    max_turns = 10
    reward_range = (-1.0, 0.0)
    score_range = ScoreRange(worst=-10.0, data=-7.0, best=-4.8)
    instructions = "Guess a number between 1 and 100. An action is a number, such as 50."

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Hide a number."""
        seed = fresh_seed() if seed is None else seed
        self.state = State(random.Random(seed).randint(1, 100))
        return "guess:\n", {"seed": seed}

    def step(self, action: str) -> Step:
        """Compare a guess with the hidden number. What is not a number counts as wrong."""
        if self.state is None:
            raise RuntimeError("no episode is running; call reset")
        self.state.turns += 1
        number = re.fullmatch(r"\s*(\d+)\s*", action)
        guess = int(number[1]) if number else 0
        if guess == self.state.hidden:
            self.state = None
            return Step.ended("right\n", 0.0, success=True)
        text = "higher\n" if guess < self.state.hidden else "lower\n"
        if self.state.turns == self.max_turns:
            self.state = None
            return Step.ended(text, -1.0, success=False)
        return Step.going(text, -1.0)

    def _random(self, rng: random.Random) -> Player:
        return lambda observation: f"{rng.randint(1, 100)}\n"

    def _optimal(self, rng: random.Random) -> Player:
        low, high, last = 1, 100, 0

        def act(observation: str) -> str:
            nonlocal low, high, last
            low = last + 1 if observation.startswith("higher") else low
            high = last - 1 if observation.startswith("lower") else high
            last = (low + high) // 2
            return f"{last}\n"

        return act

    def _mixture(self, rng: random.Random) -> Player:
        return self._optimal(rng) if rng.random() < 0.3 else self._random(rng)

    players: Mapping[str, Any] = {"random": _random, "optimal": _optimal, "mixture": _mixture}


if __name__ == "__main__":
    episode = play(GuessNumber(), "optimal", seed=1)
    print(transcript(episode))
    print("return", episode.total_reward)
