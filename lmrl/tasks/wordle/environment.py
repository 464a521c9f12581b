"""The environment of Wordle: six guesses at a hidden word."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from lmrl.drawing import Drawing
from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT
from lmrl.seeds import fresh_seed
from lmrl.tasks.wordle.drawing import draw
from lmrl.tasks.wordle.vocabulary import (
    DEFAULT_VOCABULARY,
    FEEDBACK,
    FIVE_LETTERS,
    UNSEEN_WORDS,
    vocabulary,
)
from lmrl.trajectory import Trajectory

HEADER = "Wordle:\n"
START_OPTIONS = ("answer",)
TRIES = 6
SOLVED = "ggggg"
SMART = 0.34
"""How often the `mixture` player guesses a word that fits: the published 34 %. On the default
vocabulary 60,000 episodes return -4.07 on average; published: -4.12."""
HUNDRED = ScoreRange(worst=-6.0, data=-3.50, best=-1.56)
"""Of the game with `words=100`: 20,000 episodes of `mixture` and of `optimal`."""
_IN_WORDS = {"g": "here", "y": "elsewhere", "b": "nowhere"}


def reworded(text: str, rng: random.Random) -> str:
    """Return an observation with a word for each mark."""
    if text == HEADER:
        return "Find the hidden word:\n"
    marks = [_IN_WORDS[mark] for mark in text.split()]
    return (", ".join(marks) if marks else "That is no word.") + "\n"


@dataclass
class WordleState:
    """What changes during an episode.

    Attributes:
        answer: the hidden word; where it is drawn anew, the last one drawn.
        redraw: the generator that draws it anew; None where the word is fixed.
        told: valid guesses with their marks.
        tries: guesses so far, valid or not.
        left: indices of the words that fit the first `counted` of `told`, None for all words;
            brought up to date only when somebody asks.
        counted: see `left`.
        running: whether the episode goes on.
    """

    answer: str
    redraw: random.Random | None
    left: tuple[int, ...] | None = None
    told: list[tuple[str, str]] = field(default_factory=list)
    tries: int = 0
    counted: int = 0
    running: bool = True


class Wordle(TextEnv):
    """Wordle of LMRL-Gym; the package's docstring has the rules.

    Args:
        vocab: a file with one word a line; its five-letter words are answers and guesses. None is
            our own list.
        feedback: `published` or `newspaper`.
        bad_word_reward: reward for a guess that is not a word.
        require_words_in_vocab: whether five letters that are not a word of the list are a bad word.
        fixed_answer: whether the hidden word is drawn once, at reset; None is the opposite of
            `faithful`.
        unseen_answers: whether the hidden word is one of 100 that the default list has not got.
        words: number of words of the list in use, at equal distances; None is all. Fewer words are
            an easier game: the range of scores is known for all words and for 100.
        faithful: behave as the published code does, quirks included.
    """

    max_turns = TRIES
    instructions = (
        "You play Wordle: find a hidden English word of five letters in six guesses. An action is "
        "a guess, a common English word written as five letters with spaces between them, for "
        "example: t r a i n. The answer has a mark for each letter: g means that the letter is in "
        "this place, y that the hidden word has it in another place, b that the hidden word does "
        "not have it. A guess that is no known word gets an empty answer and is lost."
    )
    score_range = ScoreRange(worst=-6.0, data=-4.12, best=-1.94)

    def __init__(
        self,
        vocab: str | None = None,
        feedback: Literal["published", "newspaper"] = "published",
        bad_word_reward: float = -1.0,
        require_words_in_vocab: bool = True,
        fixed_answer: bool | None = None,
        faithful: bool = False,
        unseen_answers: bool = False,
        words: Annotated[int | None, COUNT] = None,
    ) -> None:
        if feedback not in FEEDBACK:
            raise unknown("wordle feedback", feedback, FEEDBACK)
        if (
            isinstance(bad_word_reward, bool)
            or not isinstance(bad_word_reward, int | float)
            or not math.isfinite(bad_word_reward)
        ):
            raise UsageError(
                f"wordle option bad_word_reward is {bad_word_reward!r}; give a finite number"
            )
        path = DEFAULT_VOCABULARY if vocab is None else Path(vocab).expanduser().absolute()
        self.vocabulary = vocabulary(
            str(path), feedback, str(UNSEEN_WORDS) if unseen_answers else "", words
        )
        if words == 100:
            self.score_range = HUNDRED
        self.bad_word_reward = float(bad_word_reward)
        self.reward_range = (min(-1.0, self.bad_word_reward), max(0.0, self.bad_word_reward))
        self.only_words = require_words_in_vocab
        self.fixed_answer = not faithful if fixed_answer is None else fixed_answer
        if unseen_answers and not self.fixed_answer:
            raise UsageError("wordle option unseen_answers needs fixed_answer; set it to true")
        self.faithful = faithful
        self.state: WordleState | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Hide a random word, or `options["answer"]`.

        Raises:
            UsageError: for an unknown option, or an answer that is not in the vocabulary.
        """
        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("wordle start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        if "answer" in options:
            if options["answer"] not in self.vocabulary.known:
                raise UsageError(
                    f"answer {options['answer']!r} is not among the {len(self.vocabulary.words)} "
                    f"words of {self.vocabulary.path}"
                )
            self.state = WordleState(options["answer"], None)
        elif self.fixed_answer:
            answer = random.Random(seed).choice(self.vocabulary.answers)
            self.state = WordleState(answer, None)
        else:
            self.state = WordleState("", random.Random(seed))
        return HEADER, {"seed": seed}

    def words_left(self) -> tuple[int, ...]:
        """Return the indices of the words that fit all answers of the episode so far."""
        state = self.state
        assert state is not None
        left = self.vocabulary.everything if state.left is None else state.left
        for guess, marks in state.told[state.counted :]:
            left = state.left = self.vocabulary.fitting(left, guess, marks)
        state.counted = len(state.told)
        return left

    def step(self, action: str) -> Step:
        """Guess a word."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the wordle episode is over; call reset first")
        guess = action.strip().replace(" ", "")
        is_word = guess in self.vocabulary.known
        counts = is_word or (not self.only_words and bool(FIVE_LETTERS.fullmatch(guess)))
        state.tries += 1
        marks = ""
        if counts:
            if state.redraw is not None:
                state.answer = self.vocabulary.words[state.redraw.choice(self.words_left())]
            marks = self.vocabulary.feedback(guess, state.answer)
            state.told.append((guess, marks))
        text = " ".join(marks) + "\n"
        solved = marks == SOLVED
        if solved:
            reward = 0.0
        else:
            good = counts and (is_word or not self.faithful)
            reward = -1.0 if good else self.bad_word_reward
        if solved or state.tries == TRIES:
            state.running = False
            return Step.ended(text, reward, success=solved, answer=state.answer)
        return Step.going(text, reward)

    def draw(self, episode: Trajectory) -> Drawing | None:
        """Return the guesses with their marks."""
        return draw(episode, TRIES, _IN_WORDS)

    def _random(self, rng: random.Random) -> Player:
        actions = self.vocabulary.actions
        return lambda observation: rng.choice(actions)

    def _consistent(self, rng: random.Random) -> Player:
        actions = self.vocabulary.actions
        return lambda observation: actions[rng.choice(self.words_left())]

    def _optimal(self, rng: random.Random) -> Player:
        actions, best = self.vocabulary.actions, self.vocabulary.best
        return lambda observation: actions[rng.choice(best(self.words_left()))]

    def _mixture(self, rng: random.Random) -> Player:
        consistent, anything = self._consistent(rng), self._random(rng)
        return lambda observation: (consistent if rng.random() < SMART else anything)(observation)

    players: Mapping[str, Callable[[Any, random.Random], Player]] = {
        "optimal": _optimal,
        "consistent": _consistent,
        "random": _random,
        "mixture": _mixture,
    }
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": reworded}
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "unseen-words": {"unseen_answers": True},
        "newspaper-feedback": {"feedback": "newspaper"},
    }
