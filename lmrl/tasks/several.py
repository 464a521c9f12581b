"""`Several`: several tasks as one, for runs that train on all of them.

Its name is the names of the tasks with weights, like `maze-fo:0.5 wordle:0.5`. The seed of an
episode chooses the task that is played.
"""

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lmrl.env import Player, ScoreRange, Step, TextEnv
from lmrl.errors import UsageError
from lmrl.seeds import fresh_seed
from lmrl.tasks import make
from lmrl.trajectory import PLAYED

if TYPE_CHECKING:
    from lmrl.drawing import Drawing
    from lmrl.trajectory import Trajectory


def weights(name: str) -> dict[str, float]:
    """Return the tasks of a name and their shares, which add up to 1.

    Args:
        name: names with weights, separated by spaces.

    Raises:
        UsageError: for a weight that is not a positive number, or a task that is named twice.
    """
    found: dict[str, float] = {}
    for part in name.split():
        task, _, text = part.rpartition(":")
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if not task or not 0 < weight < 1e9:
            raise UsageError(
                f"'{part}' of the tasks '{name}' is not TASK:WEIGHT with a weight above 0, like "
                "'maze-fo:0.5 wordle:0.5'"
            )
        if task in found:
            raise UsageError(f"the tasks '{name}' have {task} twice; add its weights")
        found[task] = weight
    total = sum(found.values())
    return {task: weight / total for task, weight in found.items()}


class Several(TextEnv):
    """Several tasks, one of them in each episode.

    Rules, window and players are those of the task that the episode plays. `info` of its last step
    has the name of that task.

    Args:
        tasks: share of each task's episodes, by the names of the tasks.
        each: options of tasks, by their names.

    Raises:
        UsageError: for options of a task that is not one of them, or tasks whose actions end
            differently.
    """

    def __init__(
        self, tasks: dict[str, float], each: dict[str, dict[str, Any]] | None = None
    ) -> None:
        each = each or {}
        unknown = sorted(set(each) - set(tasks))
        if unknown:
            raise UsageError(
                f"options.each has '{unknown[0]}', and the tasks are {', '.join(tasks)}"
            )
        self.shares = tasks
        self.envs = {name: make(name, **each.get(name, {})) for name in tasks}
        envs = list(self.envs.values())
        stops = {env.stop for env in envs}
        if len(stops) > 1:
            raise UsageError(
                f"the actions of {', '.join(tasks)} end with different texts "
                f"({', '.join(map(repr, sorted(stops)))}); choose tasks with the same one"
            )
        self.max_turns = max(env.max_turns for env in envs)
        self.reward_range = (
            min(env.reward_range[0] for env in envs),
            max(env.reward_range[1] for env in envs),
        )
        ranges = {name: env.score_range for name, env in self.envs.items()}
        self.part_ranges = ranges
        self.score_range = ScoreRange(
            *(
                sum(share * limits[index] for share, limits in _with(tasks, ranges))
                for index in range(3)
            )
        )
        names = [name for name in envs[0].players if all(name in env.players for env in envs)]
        self.players = {name: _player(name) for name in names}
        self._choose(next(iter(self.envs)))

    def _choose(self, name: str) -> None:
        self.played = name
        self.env = self.envs[name]
        self.window = self.env.window
        self.window_opens_with_action = self.env.window_opens_with_action
        self.instructions = self.env.instructions

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode of the task that the seed chooses."""
        seed = fresh_seed() if seed is None else seed
        rng = random.Random(f"task of {seed}")
        self._choose(rng.choices(list(self.shares), list(self.shares.values()))[0])
        text, info = self.env.reset(seed=seed, options=options)
        return text, {**info, PLAYED: self.played}

    def step(self, action: str) -> Step:
        """Apply one action to the task that is played.

        Raises:
            RuntimeError: if no episode is running.
        """
        step = self.env.step(action)
        return step._replace(info={**step.info, PLAYED: self.played})

    def instructions_of(self, info: Mapping[str, Any]) -> str:
        """Return the rules of the task that a stored episode played."""
        env = self.envs.get(str(info.get(PLAYED)))
        return self.instructions if env is None else env.instructions

    def snapshot(self) -> Any:
        """Return a copy of the whole state of the running episode."""
        return self.played, self.env.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned."""
        played, inside = snapshot
        self._choose(played)
        self.env.restore(inside)

    def draw(self, episode: "Trajectory") -> "Drawing | None":
        """Return what the task of an episode draws of it."""
        env = self.envs.get(str(episode.info.get(PLAYED)))
        return None if env is None else env.draw(episode)

    def player(self, name: str, rng: random.Random) -> Player:
        """Return the scripted player of the task that is played.

        Raises:
            UsageError: if the task has no such player.
        """
        return self.env.player(name, rng)


def _with(
    tasks: Mapping[str, float], ranges: Mapping[str, ScoreRange]
) -> list[tuple[float, ScoreRange]]:
    return [(share, ranges[name]) for name, share in tasks.items()]


def _player(name: str) -> Callable[[Any, random.Random], Player]:
    def build(env: "Several", rng: random.Random) -> Player:
        return env.player(name, rng)

    return build
