"""A task that raises in every third episode, for the failure tests."""

from typing import Any

from lmrl.env import Step
from lmrl.tasks.maze import Maze


class Faulty(Maze):
    """The maze, but episodes whose seed is a multiple of three raise at their second step."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        self.faulty = seed is not None and seed % 3 == 0
        self.count = 0
        return super().reset(seed=seed, options=options)

    def step(self, action: str) -> Step:
        self.count += 1
        if self.faulty and self.count == 2:
            raise ZeroDivisionError("the task broke")
        return super().step(action)
