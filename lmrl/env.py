"""The contract of a task: `TextEnv`, `Step`, and `ScoreRange`.

A task is a text environment in Gymnasium's shape without depending on it: `reset` returns
`(text, info)`, and `step` returns a `Step`, which begins with `(text, reward, terminated,
truncated, info)`. Tasks read and write text only; tokens belong to `lmrl.tokens.codec`.
"""

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from lmrl.drawing import Drawing
    from lmrl.trajectory import Trajectory

Player = Callable[[str], str]
"""A scripted player: from the newest observation to an action."""

Wording = Callable[[str, random.Random], str]
"""Another way to say an observation; what it adds is drawn from the generator."""


class ScoreRange(NamedTuple):
    """The three constants of the paper's normalised score (arXiv 2311.18232, appendix E).

    `worst` maps to 0, `data` (mean return of the data set) to 50 and `best` to 100.
    """

    worst: float
    data: float
    best: float


class Step(NamedTuple):
    """What one action led to. Build it with `going`, `ended` or `cut`, not by hand.

    The first five fields are those of a step in Gymnasium, in its order.

    Attributes:
        text: new observation.
        reward: reward of this action.
        terminated: whether the episode ended by the task's own rules; its value is 0 from here on.
        truncated: whether a limit cut the episode; a learner bootstraps from the last state.
        info: facts of the task. Those of an episode's last step become `Trajectory.info`, so they
            have to be JSON values; `lmrl.trajectory.INFO_KEYS` lists the keys that have a meaning
            beyond the task.
        replaces_history: whether this observation stands alone: the policy sees nothing older.
        final_observation: on `truncated`, the observation of the state in which the episode was
            cut, where `text` only announces the cut; otherwise None.
    """

    text: str
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    replaces_history: bool = False
    final_observation: str | None = None

    @classmethod
    def going(
        cls, text: str, reward: float, *, replaces_history: bool = False, **info: Any
    ) -> "Step":
        """Return a step after which the episode goes on."""
        return cls(text, reward, False, False, info, replaces_history)

    @classmethod
    def ended(
        cls, text: str, reward: float, *, replaces_history: bool = False, **info: Any
    ) -> "Step":
        """Return the last step of an episode that ended by the task's rules."""
        return cls(text, reward, True, False, info, replaces_history)

    @classmethod
    def cut(
        cls,
        text: str,
        reward: float,
        *,
        replaces_history: bool = False,
        final_observation: str | None = None,
        **info: Any,
    ) -> "Step":
        """Return the last step of an episode that a limit cut short."""
        return cls(text, reward, False, True, info, replaces_history, final_observation)


class Diagnostic(NamedTuple):
    """A measure of a policy that only one task has.

    Attributes:
        name: key of the measure in JSON.
        value: value of the measure.
        sentence: the measure in words, for a reader.
    """

    name: str
    value: float
    sentence: str


class TextEnv(ABC):
    """One task: rules, observation texts, rewards and scripted players, and nothing else.

    Everything that changes during an episode lives in `self.state`, its random generator included,
    so that `snapshot` and `restore` are complete by construction.
    """

    max_turns: int
    """No episode has more scored actions than this."""
    reward_range: tuple[float, float]
    """Smallest and largest reward of one action."""
    score_range: ScoreRange
    """Constants of the normalised score."""
    part_ranges: Mapping[str, ScoreRange] = {}
    """Constants of the scores of the tasks that this one consists of, by their names."""
    stop: ClassVar[str] = "\n"
    """An action ends with this text; the sampler stops there."""
    window: int | None = None
    """The policy sees this many of the newest texts (observations and actions); None is all."""
    window_opens_with_action: bool = False
    """Whether a full window may begin with an action rather than with an observation."""
    actions: tuple[str, ...] = ()
    """Every legal action, in tasks where they are always the same few; else empty."""
    oracle_option: ClassVar[str] = ""
    """The option that takes whoever answers for the task (a callable from a prompt to a reply);
    empty where nobody does."""
    human_oracle: ClassVar[type[Any] | None] = None
    """Class of a person who answers: its only argument is a `lmrl.human.person.Person`, and its
    instances are callables from a prompt to a reply. None in tasks in which no person can."""
    instructions: str = ""
    """The rules and the form of an action, for an instruct model that has never seen the task."""
    players: Mapping[str, Callable[[Any, random.Random], Player]]
    """Scripted players by name; `random`, `optimal` and `mixture` exist in every task."""
    data_starts: Mapping[str, Mapping[str, Any]] = {}
    """Start options of the episodes of data sets, by the player that makes them."""
    wordings: ClassVar[Mapping[str, Wording]] = {}
    """Other ways to say this task's observations, by name: values of the option `wording`, which
    `make` takes for every task that has any."""
    variants: Mapping[str, Mapping[str, Any]] = {}
    """The robustness suite's variants of this task by name, each as options for `make`."""
    state: Any = None

    @abstractmethod
    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode; everything random in it follows from `seed`.

        Args:
            seed: an integer; None draws one, which `info["seed"]` reports.
            options: choices for this episode only (a start position, for example).
        """

    @abstractmethod
    def step(self, action: str) -> Step:
        """Apply one action. Any string is accepted; what the rules do not know is an illegal move.

        Raises:
            RuntimeError: if no episode is running.
        """

    def instructions_of(self, info: Mapping[str, Any]) -> str:
        """Return the rules of a stored episode.

        Args:
            info: facts of the episode's last step.
        """
        return self.instructions

    def snapshot(self) -> Any:
        """Return a copy of the whole state of the running episode."""
        return copy.deepcopy(self.state)

    def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned."""
        self.state = copy.deepcopy(snapshot)

    def diagnostics(self, act: Player) -> list[Diagnostic]:
        """Return the task's own measures of a policy beside its return; most tasks have none.

        Args:
            act: the policy, from an observation that stands alone to an action. The task may ask
                for its action in any state; no episode needs to run.
        """
        return []

    def draw(self, episode: "Trajectory") -> "Drawing | None":
        """Return boards of a stored episode for a reader; None where there is nothing to draw.

        A running episode of this environment may be lost.

        Args:
            episode: episode of this task with the options of this environment.
        """
        return None

    def player(self, name: str, rng: random.Random) -> Player:
        """Return the scripted player `name` for the episode that is running.

        Raises:
            UsageError: if the task has no such player.
        """
        from lmrl.errors import unknown

        if name not in self.players:
            raise unknown("player", name, self.players)
        return self.players[name](self, rng)
