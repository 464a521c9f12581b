"""Say a task's observations in other words: what the option `wording` of `make` puts around a task.

The game underneath stays what it is: the same seeds and actions lead to the same states, rewards
and endings, and only the texts differ. What a policy scores less than in the task's own words is
therefore what it owes to those words.
"""

import copy
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lmrl.drawing import Drawing
from lmrl.env import Player, Step, TextEnv
from lmrl.errors import UsageError, unknown
from lmrl.trajectory import Trajectory

OPTION = "wording"

DISTRACTORS = (
    "By the way, it has been raining here since the morning.",
    "Sorry, somebody was at the door.",
    "I did not sleep well last night.",
    "They are repairing the road outside, so excuse the noise.",
    "My lunch break is over soon.",
    "I was thinking of something else just now.",
    "My cousin asked me something like that last week.",
    "Never mind the music, my neighbours are celebrating.",
)
"""What somebody might say beside the point: nothing about any hidden thing, nor about the rules."""


class ByRules:
    """A wording that replaces regular expressions, one rule after the other.

    Args:
        rules: patterns and replacements, as for `re.sub`; compiled when first needed.
    """

    def __init__(self, *rules: tuple[str, str]) -> None:
        self.rules = rules

    @cached_property
    def compiled(self) -> list[tuple[re.Pattern[str], str]]:
        """The rules with compiled patterns."""
        return [(re.compile(pattern), replacement) for pattern, replacement in self.rules]

    def __call__(self, text: str, rng: random.Random) -> str:
        """Return `text` in other words."""
        for pattern, replacement in self.compiled:
            text = pattern.sub(replacement, text)
        return text


@dataclass(frozen=True)
class Adding:
    """A wording that adds a sentence to every observation.

    Attributes:
        sentences: sentences to choose from.
        silent: observation that stays as it is: the first, in which nobody has spoken yet.
    """

    sentences: Sequence[str]
    silent: str

    def __call__(self, text: str, rng: random.Random) -> str:
        """Return `text` with a sentence added."""
        if text == self.silent:
            return text
        said = text.removesuffix("\n")
        return " ".join(filter(None, (said, rng.choice(self.sentences)))) + text[len(said) :]


@dataclass
class WordedState:
    """What changes during an episode, beside the state of the task.

    Attributes:
        seed: seed of the episode.
        turn: number of actions so far.
        heard: newest observation in the task's own words.
    """

    seed: int
    turn: int
    heard: str


OF_THE_CLASS = (
    "stop",
    "actions",
    "oracle_option",
    "instructions",
    "players",
    "data_starts",
    "wordings",
)
"""Class attributes of a task that its worded form takes over."""


class Worded(TextEnv):
    """A task that says its observations in another of its wordings.

    Its scripted players read the task's own words, so they play and score as ever: a difference in
    *their* score would mean that the game has changed.

    Args:
        env: environment of the task.
        name: name of the task, for messages.
        wording: name of the wording, a key of `env.wordings`.

    Raises:
        UsageError: for an unknown wording.
    """

    def __init__(self, env: TextEnv, name: str, wording: str) -> None:
        if not env.wordings:
            raise UsageError(f"task {name} has no other wordings; leave the option {OPTION} out")
        if wording not in env.wordings:
            raise unknown(f"{name} option {OPTION}:", str(wording), env.wordings)
        self.env, self.wording = env, wording
        self.max_turns = env.max_turns
        self.reward_range = env.reward_range
        self.score_range = env.score_range
        self.window = env.window
        self.window_opens_with_action = env.window_opens_with_action
        self.variants = env.variants
        for name_of in OF_THE_CLASS:
            setattr(self, name_of, getattr(env, name_of))
        self.state: WordedState | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode of the task."""
        text, info = self.env.reset(seed=seed, options=options)
        self.state = WordedState(info["seed"], 0, text)
        return self._said(text), info

    def step(self, action: str) -> Step:
        """Apply one action to the task.

        Raises:
            RuntimeError: if no episode is running.
        """
        step = self.env.step(action)
        assert self.state is not None
        self.state.turn += 1
        self.state.heard = step.text
        final = step.final_observation
        if final is not None:
            final = self._said(final)
        return step._replace(text=self._said(step.text), final_observation=final)

    def _said(self, text: str) -> str:
        assert self.state is not None
        # Of seed and turn alone, so that an episode replays.
        rng = random.Random(f"{self.wording}:{self.state.seed}:{self.state.turn}")
        return self.env.wordings[self.wording](text, rng)

    def snapshot(self) -> Any:
        """Return a copy of the whole state of the running episode."""
        return self.env.snapshot(), copy.copy(self.state)

    def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned."""
        inside, own = snapshot
        self.env.restore(inside)
        self.state = copy.copy(own)

    def draw(self, episode: Trajectory) -> Drawing | None:
        """Return what the task draws of an episode."""
        return self.env.draw(episode)

    def player(self, name: str, rng: random.Random) -> Player:
        """Return the task's scripted player `name` for the episode that is running.

        Raises:
            UsageError: if the task has no such player.
        """
        act = self.env.player(name, rng)

        def play(observation: str) -> str:
            assert self.state is not None
            return act(self.state.heard)

        return play
