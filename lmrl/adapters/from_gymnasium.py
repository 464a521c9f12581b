"""`GymTask`: an environment of Gymnasium with texts as a task, named `gym:ID`.

    lmrl train grpo --task gym:MyGame-v0 --options.max-turns 20 --model.path models/mine

Observations and actions have to be texts: of a `Text` space, or of a space of one's own whose
samples are texts. A discrete space of actions is read as words if the environment says which:
`metadata["actions"]` is then the list of them, in the order of the numbers. A text that is not one
of them is not applied; the observation stays.
"""

import copy
import random
from collections.abc import Mapping
from typing import Annotated, Any

try:
    import gymnasium
except ImportError as error:
    raise ImportError("gym: tasks need Gymnasium: pip install 'lmrl[adapters]'") from error

from lmrl.env import Player, ScoreRange, Step, TextEnv
from lmrl.errors import UsageError
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.trajectory import is_json


class GymTask(TextEnv):
    """An environment of Gymnasium.

    Args:
        id: name under which the environment is registered; `module:Name-v0` imports the module.
        max_turns: largest number of actions of an episode; None is the environment's own limit.
        best: highest return of an episode, in reward units; 100 of the normalised score.
        worst: lowest return of an episode, in reward units; 0 of the normalised score.
        illegal: reward of a text that is not one of the actions of a discrete space, in reward
            units.
        rules: rules and form of an action, for a chat model; None is the environment's description.
        arguments: arguments of `gymnasium.make`.

    Raises:
        UsageError: if there is no such environment, it does not speak in texts, or has no limit of
            actions.
    """

    def __init__(
        self,
        id: str,
        max_turns: Annotated[int | None, COUNT] = None,
        best: float = 1.0,
        worst: float = 0.0,
        illegal: float = 0.0,
        rules: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        try:
            made: Any = gymnasium.make(id, **(arguments or {}))
        except Exception as error:  # whatever the environment's own constructor raises
            raise UsageError(f"Gymnasium cannot make '{id}': {error}") from error
        limit = max_turns or (made.spec.max_episode_steps if made.spec else None)
        if limit is None:
            raise UsageError(
                f"gym:{id} has no limit of actions; give one with --options.max-turns N"
            )
        if not best > worst:
            raise UsageError(f"options.best {best:g} is not above options.worst {worst:g}")
        self.id, self.max_turns = id, limit
        self.actions = _actions(made)
        self._check(made)
        self.reward_range = (-float("inf"), float("inf"))
        self.score_range = ScoreRange(worst, (worst + best) / 2, best)
        self.instructions = rules or _description(made)
        self.players = {"random": GymTask.random_player}
        self.illegal = illegal
        self.first = int(getattr(made.action_space, "start", 0))
        self.state: Any = made
        self.taken, self.heard = 0, ""

    def _check(self, made: Any) -> None:
        """Refuse an environment whose observations or actions are not texts."""
        spaces = {"observations": made.observation_space}
        if not self.actions:
            spaces["actions"] = made.action_space
        for what, space in spaces.items():
            if not isinstance(space.sample(), str):
                raise UsageError(
                    f"the {what} of gym:{self.id} are {space}, and not texts; wrap the environment "
                    "in one that speaks, or register one with a Text space"
                )

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        seed = fresh_seed() if seed is None else seed
        text, info = self.state.reset(seed=seed, options=dict(options) if options else None)
        self.taken, self.heard = 0, _line(text)
        return self.heard, {**info, "seed": seed}

    def step(self, action: str) -> Step:
        """Apply one action."""
        self.taken += 1
        given: Any = action.removesuffix(self.stop)
        if self.actions:
            if action not in self.actions:
                cut = self.taken >= self.max_turns
                return Step(self.heard, self.illegal, False, cut, {})
            given = self.first + self.actions.index(action)
        text, reward, terminated, truncated, info = self.state.step(given)
        self.heard = _line(text)
        ended = bool(terminated)
        cut = not ended and (bool(truncated) or self.taken >= self.max_turns)
        facts = {key: value for key, value in info.items() if is_json(value)}
        return Step(self.heard, float(reward), ended, cut, facts)

    def random_player(self, rng: random.Random) -> Player:
        """Return a player that draws an action."""

        def act(observation: str) -> str:
            if self.actions:
                return rng.choice(self.actions)
            space: Any = self.state.action_space
            space.seed(rng.randrange(2**31))
            return _line(space.sample())

        return act

    def snapshot(self) -> Any:
        """Return a copy of the whole environment."""
        return copy.deepcopy(self.state), self.taken, self.heard

    def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned."""
        state, self.taken, self.heard = snapshot
        self.state = copy.deepcopy(state)


def _line(text: Any) -> str:
    """Return a text as one item of an episode, which ends with a newline."""
    return str(text).removesuffix("\n") + "\n"


def _actions(made: Any) -> tuple[str, ...]:
    """Return the actions of a discrete space as lines; none if it is not discrete."""
    if not isinstance(made.action_space, gymnasium.spaces.Discrete):
        return ()
    names = made.unwrapped.metadata.get("actions", ())
    return tuple(map(_line, names)) if len(names) == made.action_space.n else ()


def _description(made: Any) -> str:
    """Return the first paragraph of the environment's docstring on one line."""
    text = type(made.unwrapped).__doc__ or ""
    return " ".join(text.strip().split("\n\n")[0].split())
