"""An environment of Gymnasium with texts: guess a letter.

    lmrl evaluate player random --task gym:examples.own_gymnasium:GuessLetter-v0

The module registers it, so `gym:` imports it by its name.
"""

from typing import Any

import gymnasium

from lmrl.adapters.gymnasium import AnyText


class GuessLetter(gymnasium.Env[str, str]):
    """Guess a letter of a to f.

    Args:
        letters: letters to choose from.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own declaration)

    def __init__(self, letters: str = "abcdef") -> None:
        self.letters = letters
        self.observation_space = AnyText()
        self.action_space = gymnasium.spaces.Text(1, charset=letters)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Hide a letter."""
        super().reset(seed=seed)
        self.hidden = str(self.np_random.choice(list(self.letters)))
        return "Which letter?", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Say whether the guess comes before or after the letter."""
        if action == self.hidden:
            return "Yes.", 1.0, True, False, {"success": True}
        return f"No, it is {'later' if action < self.hidden else 'earlier'}.", 0.0, False, False, {}


register: Any = gymnasium.register  # its types want another signature of a class
register("GuessLetter-v0", GuessLetter, max_episode_steps=12)
