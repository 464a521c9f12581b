"""`TextArenaTask`: a game of TextArena for one player as a task, named `textarena:ID`.

    lmrl train grpo --task textarena:FrozenLake-v0 --model.path models/mine

An observation is what the game says since the last action; the first one has the rules. The reward
of the game comes with its last action. TextArena draws from the generators of the process, so each
game gets its own state of them.
"""

import contextlib
import copy
import io
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np

try:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import textarena  # tries to load word lists, and says so
except ImportError as error:
    raise ImportError("textarena: tasks need TextArena: pip install 'lmrl[adapters]'") from error

from lmrl.env import ScoreRange, Step, TextEnv
from lmrl.errors import UsageError
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.trajectory import is_json


class TextArenaTask(TextEnv):
    """A game of TextArena for one player.

    Args:
        id: name of the game, like `FrozenLake-v0`.
        max_turns: largest number of actions of an episode. Games have limits of their own.
        best: highest reward of the game; 100 of the normalised score.
        worst: lowest reward of the game; 0 of the normalised score.
        arguments: arguments of `textarena.make`.

    Raises:
        UsageError: if there is no such game, or it needs several players.
    """

    instructions = (
        "You play a game. The first message has its rules and the form of an action. Later "
        "messages are the answers to your actions."
    )

    def __init__(
        self,
        id: str,
        max_turns: Annotated[int, COUNT] = 100,
        best: float = 1.0,
        worst: float = 0.0,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        if not best > worst:
            raise UsageError(f"options.best {best:g} is not above options.worst {worst:g}")
        self.id, self.max_turns, self.arguments = id, max_turns, dict(arguments or {})
        self.reward_range = (min(worst, -1.0), max(best, 1.0))
        self.score_range = ScoreRange(worst, (worst + best) / 2, best)
        self.players = {}
        self.state: _Game | None = None
        self.reset(seed=0)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start a game."""
        seed = fresh_seed() if seed is None else seed
        self.state = _Game(*_seeded(seed))
        try:
            with self.state.drawing(), contextlib.redirect_stdout(io.StringIO()):
                # The wrapped form repeats all that was said; a policy here has its own history.
                made: Any = textarena.make(f"{self.id}-raw", **self.arguments)
                made.reset(num_players=1, seed=seed)
                self.state.env = made
        except Exception as error:  # a game raises what it likes
            raise UsageError(
                f"TextArena cannot start '{self.id}' for one player: {error}; "
                "'textarena.envs.registration.ENV_REGISTRY' lists the games"
            ) from error
        return self.state.heard(), {"seed": seed}

    def step(self, action: str) -> Step:
        """Apply one action.

        Raises:
            RuntimeError: if no episode is running.
        """
        game = self.state
        if game is None:
            raise RuntimeError("no episode is running: call reset first")
        with game.drawing(), contextlib.redirect_stdout(io.StringIO()):
            done, _ = game.env.step(action=action.removesuffix(self.stop))
        game.taken += 1
        text = game.heard()
        if not done:
            return Step(text, 0.0, False, game.taken >= self.max_turns, {})
        rewards, facts = game.env.close()
        own = {key: value for key, value in facts.get(0, {}).items() if is_json(value)}
        return Step(text, float((rewards or {}).get(0, 0.0)), True, False, own)


class _Game:
    """A running game, with the state of the generators that it draws from."""

    def __init__(self, own: Any, numpys: Any) -> None:
        self.own, self.numpys = own, numpys
        self.env: Any = None
        self.taken = 0

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let the generators of the process be those of this game within the block."""
        before = random.getstate(), np.random.get_state()  # noqa: NPY002  (put back below)
        random.setstate(self.own)
        np.random.set_state(self.numpys)  # noqa: NPY002
        try:
            yield
        finally:
            self.own, self.numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002

    def heard(self) -> str:
        """Return what the game has said since the last call, without the player's own words."""
        with self.drawing():
            player, said = self.env.get_observation()
        texts = [text.strip("\n") for sender, text, _ in said if sender != player]
        return "\n".join(texts) + "\n"

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Game":
        copied = _Game(self.own, self.numpys)
        copied.env, copied.taken = copy.deepcopy(self.env, memo), self.taken
        return copied


def _seeded(seed: int) -> tuple[Any, Any]:
    """Return states of the two generators that follow from a seed."""
    return random.Random(seed).getstate(), np.random.RandomState(seed % 2**32).get_state()
