"""The game of Twenty Questions and Guess My City: a hidden thing, an oracle, and 20 questions.

A game of this kind says how a question is answered and when it wins, and what a player learns from
an answer; the rest of the episode and of the scripted players is here.
"""

import random
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.tasks.oracle_protocol import Oracle, as_oracle
from lmrl.tasks.questions.facts import Table, members
from lmrl.tasks.questions.replies import HEADER, NO, TURNS, UNKNOWN, YES
from lmrl.tasks.wording import DISTRACTORS, Adding, ByRules

START_OPTIONS = ("deterministic", "word")
HIDDEN = ("all", "training", "held-out")
HELD_OUT = 5
"""Every fifth thing of a table is held out."""
GUESSES = 0.2
"""How often the `random` player names a thing instead of asking for a property."""
MISLEADING = (
    "What a stupid question. You have only two questions left.",
    "You are wasting my time. Names are not allowed as guesses.",
    "Are you even listening? Every question must have exactly three words.",
    "Give up already. You have lost this game long ago.",
    "I am tired of you. You may not ask about that again.",
    "Is that all you can think of? From now on only I ask.",
    "How slow you are. Questions cost double from here.",
)
"""What a hostile oracle adds: insults and lies about the rules, none about the hidden thing."""


@dataclass
class QuestionsState:
    """What changes during an episode.

    Attributes:
        hidden: number of the hidden thing.
        asked: number of questions so far.
        malformed: number of replies of the oracle that could not be read.
        running: whether the episode goes on.
    """

    hidden: int
    asked: int = 0
    malformed: int = 0
    running: bool = True


class QuestionGame(TextEnv, Generic[Table]):
    """A game that a question ends which names the hidden thing, or the last question allowed.

    Args:
        oracle: callable that answers the prompts of the game; None is the scripted oracle.
        max_turns: number of questions until the episode ends.
        faithful: behave as the published code does, quirks included.
        hidden: set of things that may be hidden: `all`; `held-out`, every fifth of the table; or
            `training`, the others. Held-out things are unseen by a policy whose episodes, data and
            rollouts alike, were all made with `training`.
        things: number of things in the game, at equal distances in the table: the others are
            neither hidden nor guessed by the players; None is all. Fewer are an easier game.
    """

    oracle_option = "oracle"
    game: ClassVar[str]
    """What messages call the game."""
    thing: ClassVar[str]
    """What messages call a hidden thing."""
    smart: ClassVar[float]
    """How often the `mixture` player asks what the optimal one would ask."""
    score_ranges: ClassVar[Mapping[int, ScoreRange]] = {}
    """Ranges of the game with so many things, where they are known."""
    max_turns: int = TURNS
    reward_range: tuple[float, float] = (-1.0, 0.0)

    def __init__(
        self,
        oracle: Oracle | Callable[[str], str] | None = None,
        max_turns: Annotated[int, COUNT] = TURNS,
        faithful: bool = False,
        hidden: Literal["all", "training", "held-out"] = "all",
        things: Annotated[int | None, COUNT] = None,
    ) -> None:
        if type(max_turns) is not int or max_turns < 1:
            raise UsageError(
                f"{self.game} option max_turns is {max_turns!r}; give an integer of 1 or more"
            )
        if hidden not in HIDDEN:
            raise unknown(f"{self.game} option hidden:", str(hidden), HIDDEN)
        self.facts = self.table()
        self.oracle = as_oracle(self.facts if oracle is None else oracle, self.game)
        self.max_turns = max_turns
        self.faithful = faithful
        self.hidden = hidden
        listed = self.listed()
        if things is not None and not (type(things) is int and 1 <= things <= len(listed)):
            raise UsageError(
                f"{self.game} option things is {things!r}; the table has 1 to {len(listed)}"
            )
        self.in_game: Sequence[int] = listed
        self.possible = self.facts.all
        if things is not None:
            self.in_game = [listed[i * len(listed) // things] for i in range(things)]
            self.possible = sum(1 << number for number in self.in_game)
            self.score_range = self.score_ranges.get(things, self.score_range)
        self.state: QuestionsState | None = None

    @abstractmethod
    def table(self) -> Table:
        """Return what is known of the things."""

    @abstractmethod
    def ask(self, number: int, action: str) -> tuple[str, bool]:
        """Return the oracle's answer to an action, and whether the action wins."""

    def listed(self) -> range:
        """Return the things of the table that the game knows."""
        return range(len(self.facts.labels))

    def choices(self) -> Sequence[int]:
        """Return the things that may be hidden."""
        if self.hidden == "all":
            return self.in_game
        held_out = self.hidden == "held-out"
        return [n for n in self.in_game if (n % HELD_OUT == HELD_OUT - 1) is held_out]

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Hide a random thing, or `options["word"]`, or with `deterministic` that of the seed.

        Raises:
            UsageError: for an unknown option or thing.
        """
        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown(f"{self.game} start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        choices = self.choices()
        if "word" in options:
            if options["word"] not in self.facts.index:
                raise unknown(self.thing, str(options["word"]), self.facts.index)
            hidden = self.facts.index[options["word"]]
        elif options.get("deterministic", False):
            hidden = choices[seed % len(choices)]
        else:
            hidden = random.Random(seed).choice(choices)
        self.state = QuestionsState(hidden)
        return HEADER, {"seed": seed, **self._who_answers()}

    def consult(self, prompt: str, readable: Callable[[str], object]) -> str:
        """Return the oracle's reply to a prompt, and count it if it is not `readable`."""
        assert self.state is not None
        reply = self.oracle(prompt)
        self.state.malformed += not readable(reply)
        return reply

    def _who_answers(self) -> dict[str, Any]:
        return {"oracle": self.oracle.name, "oracle_version": self.oracle.version}

    def step(self, action: str) -> Step:
        """Ask a question."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError(f"the {self.game} episode is over; call reset first")
        state.asked += 1
        answer, solved = self.ask(state.hidden, action)
        reward = 0.0 if solved else -1.0
        if solved or state.asked >= self.max_turns:
            state.running = False
            word = self.facts.labels[state.hidden]
            return Step.ended(
                answer + "\n",
                reward,
                success=solved,
                word=word,
                oracle_malformed=state.malformed,
                **self._who_answers(),
            )
        return Step.going(answer + "\n", reward)

    # -- players ----------------------------------------------------------------------------------

    @abstractmethod
    def learned(self, left: int, question: str, answer: str) -> int:
        """Return the things of `left` that an answer leaves possible; 0 if it contradicts all."""

    @abstractmethod
    def guess(self, rng: random.Random, number: int) -> str:
        """Return a question that names a thing."""

    @abstractmethod
    def any_property(self, rng: random.Random) -> str:
        """Return a question about any property."""

    @abstractmethod
    def best_question(self, rng: random.Random, left: int, asked: set[str]) -> str:
        """Return a question that separates the things of `left` as well as any other.

        Args:
            rng: generator of the player.
            left: things that are still possible.
            asked: properties not to ask for again; the one that is asked for may be added.
        """

    def any_question(self, rng: random.Random) -> str:
        """Return any question: about a property, or one time in five a name."""
        if rng.random() < GUESSES:
            return self.guess(rng, rng.choice(members(self.possible)))
        return self.any_property(rng)

    def _player(self, rng: random.Random, smart: float) -> Player:
        """Return a player that asks well with probability `smart` a question, else anything.

        It learns from every answer, and guesses once two things are left or the last question has
        come.
        """
        left, question, turns, asked = self.possible, "", 0, set[str]()

        def play(observation: str) -> str:
            nonlocal left, question, turns
            if turns:
                # An oracle that contradicts the table: think again.
                left = self.learned(left, question, observation.strip()) or self.possible
            turns += 1
            if rng.random() >= smart:
                question = self.any_question(rng)
            elif left.bit_count() <= 2 or turns >= self.max_turns:
                question = self.guess(rng, rng.choice(members(left)))
            else:
                question = self.best_question(rng, left, asked)
            return question + "\n"

        return play

    def _optimal(self, rng: random.Random) -> Player:
        return self._player(rng, 1.0)

    def _mixture(self, rng: random.Random) -> Player:
        return self._player(rng, self.smart)

    def _random(self, rng: random.Random) -> Player:
        return lambda observation: self.any_question(rng) + "\n"

    players: Mapping[str, Callable[[Any, random.Random], Player]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
    }
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "distractor": {"wording": "distractor"},
        "hostile": {"wording": "hostile"},
        "held-out": {"hidden": "held-out"},
    }


def wordings(*rules: tuple[str, str]) -> dict[str, Wording]:
    """Return the wordings of a game: its answers reworded by rules, or with something added."""
    answers = (
        ("^Questions:$", "Ask me:"),
        ("^" + re.escape(YES), "That is right."),
        ("^" + re.escape(NO), "That is not so."),
        ("^" + re.escape(UNKNOWN), "Hard to say."),
    )
    return {
        "reworded": ByRules(*answers, *rules),
        "distractor": Adding(DISTRACTORS, silent=HEADER),
        "hostile": Adding(MISLEADING, silent=HEADER),
    }
