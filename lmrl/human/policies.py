"""Who plays the agent of a study: a scripted player, a person, or anything else with `start`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lmrl.env import TextEnv
from lmrl.episode import Episode
from lmrl.human.person import Person
from lmrl.seeds import player_rng
from lmrl.trajectory import printable


@dataclass
class Game:
    """A running episode and how to go on with it.

    Attributes:
        episode: the episode.
        advance: function that lets the policy act once.
    """

    episode: Episode
    advance: Callable[[], None]


class Policy(Protocol):
    """A policy that plays the agent."""

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Begin an episode.

        Args:
            env: task to play.
            seed: seed of the episode.
            task: name of the task, for the record.
            options: options of the task, for the record.

        Raises:
            ContextTooLong: from here or from `Game.advance`, if the policy cannot read the context.
        """
        ...


@dataclass(frozen=True)
class Scripted:
    """A scripted player of the task, by name."""

    player: str

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Begin an episode; the player's own randomness follows from the seed too."""
        episode = Episode(env, seed, name=task, options=options)
        act = env.player(self.player, player_rng(self.player, seed))
        return Game(episode, lambda: episode.act(act(episode.observation)))


@dataclass(frozen=True)
class Typed:
    """A person who types the actions."""

    person: Person

    def start(self, env: TextEnv, seed: int, task: str, options: Mapping[str, Any]) -> Game:
        """Begin an episode."""
        episode = Episode(env, seed, name=task, options=options)

        def advance() -> None:
            self.person.tell(printable(episode.observation))
            episode.act(self.person.answer("> ", str) + env.stop)

        return Game(episode, advance)
