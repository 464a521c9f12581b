"""Tasks of untrusted runs: made from names and options that a run directory holds."""

import json
import threading
from typing import Any

from lmrl.drawing import Drawing
from lmrl.env import ScoreRange, TextEnv
from lmrl.tasks import from_elsewhere, make
from lmrl.trajectory import Trajectory


class Environments:
    """Makes tasks, each with its options once.

    Args:
        load: whether a task may be named as `module:Class`. Its module is then imported, so that
            its code runs.
    """

    def __init__(self, load: bool = False) -> None:
        self.load = load
        self._made: dict[str, TextEnv | None] = {}
        # A task plays an episode again to draw it, so only one thread may use it at a time.
        self._lock = threading.Lock()

    def _env(self, task: str, options: dict[str, Any]) -> TextEnv | None:
        key = f"{task} {json.dumps(options, sort_keys=True)}"
        if key not in self._made:
            try:
                known = self.load or not from_elsewhere(task)
                self._made[key] = make(task, **options) if known else None
            except Exception:  # a task's constructor meets options that it does not know
                self._made[key] = None
        return self._made[key]

    def limits(self, task: str, options: dict[str, Any]) -> ScoreRange | None:
        """Return the constants of a task's scores; None if the task cannot be made here."""
        with self._lock:
            env = self._env(task, options)
        return None if env is None else env.score_range

    def draw(self, episode: Trajectory) -> Drawing | None:
        """Return the drawing of an episode; None if there is none, or the task fails at it."""
        with self._lock:
            env = self._env(episode.task, episode.options)
            try:
                return None if env is None else env.draw(episode)
            except Exception:  # a renderer meets texts that no episode of its task has
                return None
