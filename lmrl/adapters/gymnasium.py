"""The tasks in Gymnasium, for libraries that expect them there; nothing of ours needs this file.

    import gymnasium
    env = gymnasium.make("lmrl.adapters.gymnasium:lmrl/MazeFo-v0", last_k=7)

Importing this module registers every known task as `lmrl/<Name>-v0`, with the task's name in
CamelCase: `guess-my-city` is `lmrl/GuessMyCity-v0`. Observations and actions are text as in
`lmrl.env`, so an action ends with the task's stop text (a newline).
"""

from typing import Any

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        "lmrl.adapters.gymnasium needs Gymnasium: pip install 'lmrl[adapters]'"
    ) from error

from lmrl.tasks import known, make

SAMPLED = 40
"""Greatest length of a sampled text, in characters; texts of a task may be longer."""


class AnyText(gymnasium.Space[str]):
    """Every text. Gymnasium's own `Text` wants a character set and a greatest length.

    Args:
        seed: seed of `sample`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Return a line of random printable ASCII.

        Raises:
            ValueError: for a mask or probabilities; there is nothing to mask.
        """
        if mask is not None or probability is not None:
            raise ValueError("any text is allowed: there is nothing to mask or to weigh")
        codes = self.np_random.integers(32, 127, size=self.np_random.integers(1, SAMPLED))
        return "".join(map(chr, codes)) + "\n"

    def contains(self, x: Any) -> bool:
        """Return whether `x` is text."""
        return isinstance(x, str)

    @property
    def is_np_flattenable(self) -> bool:
        """No: texts have no greatest length."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText)

    def __repr__(self) -> str:
        return "AnyText()"


class TaskEnv(gymnasium.Env[str, str]):
    """A task as a Gymnasium environment; its steps are the task's own.

    Args:
        task: name of a known task.
        options: options of the task.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own declaration)

    def __init__(self, task: str, **options: Any) -> None:
        self.task = make(task, **options)
        self.observation_space = AnyText()
        self.action_space = AnyText()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode: that of `seed`, or without one the next of this generator."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        return self.task.reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Apply one action, stop text included.

        The fields of `lmrl.env.Step` that Gymnasium does not have are keys of `info`.
        """
        step = self.task.step(action)
        info = {
            **step.info,
            "replaces_history": step.replaces_history,
            "final_observation": step.final_observation,
        }
        return step.text, step.reward, step.terminated, step.truncated, info


def env_id(task: str) -> str:
    """Return the Gymnasium id of a task: `lmrl/MazeFo-v0` of `maze-fo`."""
    return f"lmrl/{''.join(word.capitalize() for word in task.split('-'))}-v0"


for name in known():
    if env_id(name) not in gymnasium.registry:
        gymnasium.register(env_id(name), "lmrl.adapters.gymnasium:TaskEnv", kwargs={"task": name})
