"""The tasks behind OpenEnv: `application` is a server of one task for OpenEnv's clients.

    lmrl openenv maze-fo --port 8000

    from openenv import GenericEnvClient
    with GenericEnvClient(base_url="http://127.0.0.1:8000").sync() as env:
        result = env.reset(seed=7)
        result = env.step({"text": "move up"})

OpenEnv needs other versions of packages than vLLM does, so it lives in an environment of its own:
`pip install 'lmrl[openenv]'`. `lmrl.adapters.from_openenv` is the other way round.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

try:
    from openenv.core.env_server import (
        Action,
        Environment,
        Observation,
        State,
        create_fastapi_app,
    )
    from openenv.core.env_server.types import EnvironmentMetadata
    from pydantic import Field
except ImportError as error:
    raise ImportError(
        "lmrl.adapters.openenv needs OpenEnv: pip install 'lmrl[openenv]', in an environment "
        "without vLLM"
    ) from error

from lmrl import __version__
from lmrl.env import Step
from lmrl.tasks import make
from lmrl.trajectory import is_json

if TYPE_CHECKING:
    from fastapi import FastAPI


class TaskAction(Action):
    """One action.

    Attributes:
        text: words of the action; the task's stop text at its end may be left out.
    """

    text: str


class TaskObservation(Observation):
    """What an action led to. `done` and `reward` are fields of the base class.

    Attributes:
        text: new observation.
        terminated: whether the episode ended by the task's own rules.
        truncated: whether a limit cut the episode.
        replaces_history: whether the observation stands alone.
        final_observation: on `truncated`, the observation of the state in which the episode was
            cut, where `text` only announces the cut.
        info: facts of the task that are JSON values.
    """

    text: str
    terminated: bool = False
    truncated: bool = False
    replaces_history: bool = False
    final_observation: str | None = None
    info: dict[str, Any] = Field(default_factory=dict)


class TaskState(State):
    """The task of a session, and where its episode stands.

    Attributes:
        task: name of the task.
        options: options of the task.
        seed: seed of the episode; None before the first one.
        instructions: rules and form of an action, for a chat model.
        max_turns: largest number of actions of an episode.
        worst: 0 of the normalised score, in reward units.
        best: 100 of the normalised score, in reward units.
    """

    task: str
    options: dict[str, Any]
    seed: int | None
    instructions: str
    max_turns: int
    worst: float
    best: float


class TaskEnvironment(Environment):
    """A task as an environment of OpenEnv; each session of a client has one of its own.

    Args:
        task: name of the task.
        options: options of the task.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, task: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.task, self.options = task, dict(options)
        self.env = make(task, **options)
        self.seed: int | None = None
        self.episode_id: str | None = None
        self.taken = 0

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> TaskObservation:
        """Start an episode.

        Args:
            seed: seed of the episode; None draws one, which `state` reports.
            episode_id: name of the episode, which `state` repeats.
            options: choices for this episode only.
        """
        text, info = self.env.reset(seed=seed, options=options)
        self.seed, self.episode_id, self.taken = info.get("seed", seed), episode_id, 0
        return TaskObservation(text=text, info=_facts(info))

    def step(self, action: TaskAction, timeout_s: float | None = None) -> TaskObservation:
        """Apply one action.

        Args:
            action: the action, with the task's stop text or without.
            timeout_s: not used; the tasks answer at once.

        Raises:
            RuntimeError: if no episode is running.
        """
        step: Step = self.env.step(action.text.removesuffix(self.env.stop) + self.env.stop)
        self.taken += 1
        return TaskObservation(
            text=step.text,
            reward=float(step.reward),
            done=step.terminated or step.truncated,
            terminated=step.terminated,
            truncated=step.truncated,
            replaces_history=step.replaces_history,
            final_observation=step.final_observation,
            info=_facts(step.info),
        )

    @property
    def state(self) -> TaskState:
        """The task, and where the episode stands."""
        return TaskState(
            episode_id=self.episode_id,
            step_count=self.taken,
            task=self.task,
            options=self.options,
            seed=self.seed,
            instructions=self.env.instructions,
            max_turns=self.env.max_turns,
            worst=self.env.score_range.worst,
            best=self.env.score_range.best,
        )

    def get_metadata(self) -> EnvironmentMetadata:
        """Return the name and the rules of the task."""
        return EnvironmentMetadata(
            name=self.task, description=self.env.instructions or self.task, version=__version__
        )

    def close(self) -> None:
        """Release what the task holds: the process of a chess engine, if there is one."""
        close = getattr(self.env, "close", None)
        if close is not None:
            close()


def _facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that JSON can hold."""
    return {key: value for key, value in info.items() if is_json(value)}


def application(task: str, options: Mapping[str, Any], sessions: int) -> "FastAPI":
    """Return the web application that serves a task.

    Args:
        task: name of the task.
        options: options of the task.
        sessions: largest number of clients at once; each has its own episode.

    Raises:
        UsageError: for an unknown task, or an option that it does not have.
    """
    make(task, **options)  # an error here is one sentence; in a session only the client sees it
    served: FastAPI = create_fastapi_app(
        partial(TaskEnvironment, task, options),
        TaskAction,
        TaskObservation,
        max_concurrent_envs=sessions,
    )
    return served
