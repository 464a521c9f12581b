"""The tasks behind the interface of the published benchmark, for code that was written for it.

There a history is a tuple of `Text`s; the policy appends an action, and `step` answers with the new
history, the reward, and whether the episode is over:

    env = HistoryEnv("maze-po", faithful=True)
    history = env.reset(seed=7)
    done = False
    while not done:
        history += (Text("move up\\n", is_action=True),)
        history, reward, done = env.step(history)

Nothing of ours needs this file. A history is no more than what the policy may see, so a window and
an observation that stands alone cut it, as in the published tasks; learners that need to know where
a limit cut an episode read `env.last.truncated`, which the interface has no place for.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmrl.env import Step, TextEnv
from lmrl.episode import shown
from lmrl.errors import UsageError
from lmrl.tasks import make


@dataclass(frozen=True)
class Text:
    """A text of an episode, and whether the policy said it."""

    text: str
    is_action: bool


TextHistory = tuple[Text, ...]


class HistoryEnv:
    """A task with `reset`, `step`, `close` and `copy` as in the published benchmark.

    Args:
        task: name of a task, or an environment of ours.
        options: options of the task.

    Attributes:
        env: the environment of ours.
        last: newest step; None before the first one of an episode.

    Raises:
        UsageError: for an unknown task, or an option that it does not have.
    """

    def __init__(self, task: str | TextEnv, **options: Any) -> None:
        if isinstance(task, TextEnv) and options:
            raise UsageError(f"options {sorted(options)} belong to a task's name, not to a task")
        self.env = make(task, **options) if isinstance(task, str) else task
        self.last: Step | None = None

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> TextHistory:
        """Start an episode and return its first observation.

        Raises:
            UsageError: for options that the task does not have.
        """
        text, _ = self.env.reset(seed=seed, options=options)
        self.last = None
        return (Text(text, is_action=False),)

    def step(self, text_history: TextHistory) -> tuple[TextHistory, float, bool]:
        """Apply the action at the end of a history; what stands before it is history.

        Raises:
            UsageError: if the history does not end with an action.
            RuntimeError: if no episode is running.
        """
        if not text_history or not text_history[-1].is_action:
            raise UsageError("the history given to step does not end with an action; append one")
        self.last = step = self.env.step(text_history[-1].text)
        seen = (*text_history, Text(step.text, is_action=False))
        count = 1 if step.replaces_history else shown(self.env, len(seen))
        return seen[-count:], float(step.reward), step.terminated or step.truncated

    def close(self) -> None:
        """Release what the task holds: the process of a chess engine, if there is one."""
        close = getattr(self.env, "close", None)
        if close is not None:
            close()

    def copy(self) -> "HistoryEnv":
        """Return an independent environment in the same state."""
        return copy.deepcopy(self)
