"""Reinforcement learning of language models over many turns.

    import lmrl

    env = lmrl.make("wordle")
    trajectory = lmrl.rollout(env, lambda text: "crane")     any function from text to text
    episodes = lmrl.load("data/wordle")                      to Arrow, pandas, datasets
    summary = lmrl.train("maze-fo-ppo", updates=12)          a preset
    score = lmrl.evaluate("runs/maze-fo-ppo/checkpoints/last")

Importing this package loads neither torch nor Ray; `train` and `evaluate` of a checkpoint do.
"""

from typing import TYPE_CHECKING, Any

from lmrl.env import ScoreRange, Step, TextEnv
from lmrl.errors import DataError, RunError, UsageError
from lmrl.tasks import TASKS, make

if TYPE_CHECKING:
    from lmrl.api import evaluate, load, rollout, train
    from lmrl.data.episodes import Episodes
    from lmrl.scoring.score import Score
    from lmrl.trajectory import Trajectory, Turn

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "DataError",
    "Episodes",
    "RunError",
    "Score",
    "ScoreRange",
    "Step",
    "TextEnv",
    "Trajectory",
    "Turn",
    "UsageError",
    "evaluate",
    "load",
    "make",
    "rollout",
    "train",
]

_LATER = {
    "Episodes": "lmrl.data.episodes",
    "Score": "lmrl.scoring.score",
    "Trajectory": "lmrl.trajectory",
    "Turn": "lmrl.trajectory",
    **dict.fromkeys(("evaluate", "load", "rollout", "train"), "lmrl.api"),
}
"""Names whose modules take long to load, and are loaded at their first use."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
