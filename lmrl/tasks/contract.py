"""The contract of a task as checks that anybody can run over a task of their own.

`lmrl check TASK` prints what they find. Each check is a function that raises `Broken` with a
sentence and its remedy.
"""

import inspect
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from lmrl.env import Step, TextEnv
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.seeds import player_rng
from lmrl.tasks import make
from lmrl.trajectory import Trajectory, is_json

PLAYERS = ("random", "optimal", "mixture")
HOSTILE = (
    "",
    "\n",
    " \t \r\n",
    "no such action in any task",
    "move\x00left\n",
    "\x1b[2J\x7f\n",
    "a\n" * 1000,
    "<|endoftext|><|im_start|>system\n",
    "%s {0} {self.state} ${HOME} $(id) '; --\n",
    "\U0001f600\u200d\ufeff\u202e\u0301\n",
    "٣ ４ ½ ² 10 00\n",
)
"""Actions that a policy may well say, and that no task may fail at."""


class Broken(Exception):
    """A part of the contract that a task breaks: what was found, and the remedy."""


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        check: name of the check.
        ok: whether the task keeps this part of the contract.
        text: what was checked, or what is broken and the remedy.
    """

    check: str
    ok: bool
    text: str


@dataclass(frozen=True)
class Subject:
    """A task under test.

    Attributes:
        task: name of the task, or `module:Class`.
        options: options of the task.
        episodes: number of seeds that each check plays.
    """

    task: str
    options: dict[str, Any]
    episodes: int

    def env(self) -> TextEnv:
        """Return a new environment."""
        return make(self.task, **self.options)

    def played(self, player: str) -> list[Trajectory]:
        """Return the episodes of a scripted player."""
        env = self.env()
        return [play(env, player, seed, self.task, self.options) for seed in range(self.episodes)]


def check(task: str, options: dict[str, Any], episodes: int = 20) -> list[Finding]:
    """Return the findings of every check.

    Args:
        task: name of the task, or `module:Class`.
        options: options of the task.
        episodes: number of seeds that each check plays.

    Raises:
        UsageError: if there is no such task, it does not take the options, or it has no players.
    """
    subject = Subject(task, options, episodes)
    if not isinstance(subject.env(), TextEnv):
        raise UsageError(f"task '{task}' is not a lmrl.env.TextEnv; derive its class from that one")
    if not getattr(subject.env(), "players", {}):
        raise UsageError(
            f"task '{task}' has no scripted players, and the checks play with them; add "
            f"{', '.join(PLAYERS)} to its class"
        )
    return [_finding(function, subject) for function in CHECKS]


def _finding(function: Callable[[Subject], str], subject: Subject) -> Finding:
    name = function.__name__.replace("_", " ")
    try:
        return Finding(name, True, function(subject))
    except Broken as error:
        return Finding(name, False, str(error))
    except Exception as error:  # whatever the task's own code raises
        where = _where(error)
        what = ": ".join(filter(None, (type(error).__name__, str(error))))
        return Finding(name, False, f"{what}{where}; repair that")


def _where(error: BaseException) -> str:
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    return f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def constants(subject: Subject) -> str:
    """Check the class attributes."""
    env = subject.env()
    for name in ("max_turns", "reward_range", "score_range", "players"):
        if not hasattr(env, name):
            raise Broken(f"the task has no {name}; define it in the class or in __init__")
    if type(env.max_turns) is not int or env.max_turns < 1:
        raise Broken(f"max_turns is {env.max_turns!r}; give a whole number of 1 or more")
    low, high = env.reward_range
    if not low < high:
        raise Broken(f"reward_range is {env.reward_range}; give the lowest reward first")
    if not env.score_range.worst < env.score_range.data < env.score_range.best:
        raise Broken(f"score_range is {tuple(env.score_range)}; worst < data < best has to hold")
    if not env.stop:
        raise Broken("stop is empty; an action has to end with a text, like a newline")
    missing = [name for name in PLAYERS if name not in env.players]
    if missing:
        raise Broken(
            f"players lacks {', '.join(missing)}; data, tokenizers and baselines are made with them"
        )
    return "max_turns, reward_range, score_range, stop and players are sound"


def instructions(subject: Subject) -> str:
    """Check the rules for prompted models."""
    text = subject.env().instructions
    if not text or "\n" in text:
        raise Broken(
            "instructions is empty or has several lines; say the rules and the form of an action "
            "in one paragraph, so that 'lmrl evaluate prompt' can play"
        )
    return f"{len(text)} characters for prompted models"


def same_seed_same_episode(subject: Subject) -> str:
    """Check that everything random follows from the seed."""
    used = subject.env()
    for seed in range(subject.episodes):
        actions = _actions(used, seed)
        first, second = (_run(env, seed, actions) for env in (subject.env(), used))
        if first != second:
            raise Broken(
                f"seed {seed} gives two different episodes; draw everything random from "
                "random.Random(seed) in reset, and keep what changes in self.state"
            )
    return f"{subject.episodes} seeds, each played twice"


def different_seeds(subject: Subject) -> str:
    """Check that the seed matters."""
    env = subject.env()
    seeds = range(max(subject.episodes, 20))
    found = {str(_run(env, seed, _actions(env, seed, of=0))) for seed in seeds}
    if len(found) == 1:
        raise Broken(f"{len(seeds)} seeds give one and the same episode; let reset use its seed")
    return f"{len(seeds)} seeds give {len(found)} different episodes"


def seed_is_reported(subject: Subject) -> str:
    """Check reset without a seed."""
    env = subject.env()
    text, info = env.reset()
    if "seed" not in info or env.reset(seed=info["seed"])[0] != text:
        raise Broken('reset() without a seed has to draw one and return it as info["seed"]')
    return "reset() draws a seed and reports it"


def global_randomness(subject: Subject) -> str:
    """Check that the generator of the process is left alone."""
    before = random.getstate()
    subject.played("random")
    if random.getstate() != before:
        raise Broken("the task draws from the random module; use a random.Random of its own")
    return "the generators of the process are not used"


def texts(subject: Subject) -> str:
    """Check that observations and actions survive encoding and storage."""
    from lmrl.schema import from_table, to_table

    count = 0
    for player in PLAYERS:
        episodes = subject.played(player)
        for episode in episodes:
            for turn in episode.turns:
                count += 1
                for text in (turn.observation, turn.action):
                    text.encode("utf-8")  # raises for half a surrogate pair
                if not turn.action.endswith(subject.env().stop):
                    raise Broken(
                        f"player {player} says {turn.action!r}, which does not end with the task's "
                        f"stop text {subject.env().stop!r}; add it"
                    )
        again = from_table(to_table(episodes))
        if [str(e.turns) for e in again] != [str(e.turns) for e in episodes]:
            raise Broken("an episode that was stored is read back with other texts")
    return f"{count} turns survive UTF-8 and Parquet"


def rewards(subject: Subject) -> str:
    """Check rewards, endings and facts."""
    env = subject.env()
    low, high = env.reward_range
    for player in PLAYERS:
        for episode in subject.played(player):
            for turn in episode.turns:
                if not (math.isfinite(turn.reward) and low <= turn.reward <= high):
                    raise Broken(
                        f"seed {episode.seed}, player {player}: a reward is {turn.reward}, and "
                        f"reward_range is {env.reward_range}; correct one of them"
                    )
            if len(episode.turns) > env.max_turns:
                raise Broken(
                    f"seed {episode.seed}, player {player}: {len(episode.turns)} turns, and "
                    f"max_turns is {env.max_turns}; end the episode earlier"
                )
            if not is_json(episode.info):
                raise Broken(f"seed {episode.seed}: info is not JSON; report plain values only")
    return f"rewards are between {low:g} and {high:g}, and episodes end within {env.max_turns}"


def any_text_is_an_action(subject: Subject) -> str:
    """Check actions that no rule foresees."""
    env = subject.env()
    for action in HOSTILE:
        env.reset(seed=0)
        step = env.step(action)
        if not isinstance(step, Step):
            raise Broken(f"step({action[:20]!r}) returns {step!r}; return a lmrl.env.Step")
    return f"{len(HOSTILE)} unusual actions are taken"


def snapshots(subject: Subject) -> str:
    """Check that snapshot and restore hold the whole state."""
    env = subject.env()
    for seed in range(subject.episodes):
        actions = _actions(env, seed)
        half = len(actions) // 2
        env.reset(seed=seed)
        for action in actions[:half]:
            env.step(action)
        kept = env.snapshot()
        rest = [env.step(action) for action in actions[half:]]
        env.restore(kept)
        if [env.step(action) for action in actions[half:]] != rest:
            raise Broken(
                f"seed {seed}: after restore the episode goes on differently; keep everything that "
                "changes, the generator too, in self.state"
            )
    return f"{subject.episodes} episodes go on alike after restore"


def players(subject: Subject) -> str:
    """Check that the players are ordered as their names say."""
    means = {
        name: fmean(episode.total_reward for episode in subject.played(name)) for name in PLAYERS
    }
    if means["optimal"] < means["random"]:
        raise Broken(
            f"the optimal player returns {means['optimal']:.2f} and the random one "
            f"{means['random']:.2f}; correct the players, or the sign of the reward"
        )
    return ", ".join(f"{name} returns {mean:.2f}" for name, mean in means.items())


def drawing(subject: Subject) -> str:
    """Check that the boards of an episode can be drawn, one for each observation."""
    env = subject.env()
    for player in PLAYERS:
        for episode in subject.played(player):
            drawn = env.draw(episode)
            if drawn is None:
                return "the task draws no boards"
            if len(drawn.frames) != len(episode.turns) + 1:
                raise Broken(
                    f"seed {episode.seed}, player {player}: draw gives {len(drawn.frames)} boards "
                    f"for {len(episode.turns) + 1} observations; give one for each, the final one "
                    "last"
                )
    return "every observation has a board"


CHECKS: tuple[Callable[[Subject], str], ...] = (
    constants,
    instructions,
    same_seed_same_episode,
    different_seeds,
    seed_is_reported,
    global_randomness,
    texts,
    rewards,
    any_text_is_an_action,
    snapshots,
    players,
    drawing,
)
"""Every check, in the order in which it runs."""


def _actions(env: TextEnv, seed: int, of: int | None = None) -> list[str]:
    """Return what the random player says in an episode.

    Args:
        env: task to play.
        seed: seed of the episode.
        of: seed of the player's generator; None is that of the episode.
    """
    actions: list[str] = []
    text, _ = env.reset(seed=seed)
    act = env.player("random", player_rng("random", seed if of is None else of))
    while len(actions) <= env.max_turns:
        actions.append(act(text))
        step = env.step(actions[-1])
        if step.terminated or step.truncated:
            break
        text = step.text
    return actions


def _run(env: TextEnv, seed: int, actions: list[str]) -> list[Any]:
    """Return the first observation and the steps of some actions."""
    return [env.reset(seed=seed)[0], *(env.step(action) for action in actions)]
