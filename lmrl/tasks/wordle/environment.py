"""Wordle: find a five-letter word in six guesses.

Rules (arXiv 2311.18232, section 4 and appendix A; code of the published benchmark):
- The hidden word is uniform over the vocabulary, which is the set of accepted guesses too.
- An action is a guess, five letters and a newline; spaces between the letters are the usual form
  (`c r a n e`) and make no difference. The answer has a letter for each: `g`, the letter is here;
  `y`, the hidden word has it elsewhere; `b`, the hidden word does not have it (`b y g b b`).
- Repeated letters are not counted: a guess with two `e` is marked twice by a hidden word with one.
  `feedback="newspaper"` counts them as the newspaper's game does.
- A guess that is no word of the vocabulary gets an empty line, earns `bad_word_reward` and uses up
  a try. With `require_words_in_vocab=False` any five letters are a guess.
- Reward: 0 for the guess that finds the word, -1 for any other. The word at guess k returns
  -(k - 1), no word returns -6. Published scores use a `bad_word_reward` of -1; most published
  training runs used -10.
- Horizon: six guesses, good or bad. The sixth ends the episode by the rules; nothing is cut.
- The policy sees the whole episode.

`unseen_answers` hides one of 100 further words of the same source
(`assets/wordle_unseen.txt`), none of which is in the default list; guesses may be words of both.

The default vocabulary is a list of our own of the published size, 431 common words
(`assets/NOTICE.md` has its source), so scores are near the published ones but not the same; name
the published list with `vocab=` for those.

Repaired by default, as published with `faithful=True`:
- The hidden word is drawn at reset; published, every guess that counts draws one anew among the
  words that fit all answers so far (`fixed_answer`). The distribution of episodes is the same, and
  a reset that fixes the word also says what the episode was about.
- Five letters that are no word earn -1 where they are allowed; published, `bad_word_reward`.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording, fresh_seed
from lmrl.errors import UsageError, unknown

DEFAULT_VOCABULARY = Path(__file__).parent / "assets" / "wordle.txt"
UNSEEN_WORDS = Path(__file__).parent / "assets" / "wordle_unseen.txt"
HEADER = "Wordle:\n"
START_OPTIONS = ("answer",)
TRIES = 6
SOLVED = "ggggg"
SMART = 0.34
"""How often the `mixture` player guesses a word that fits: the published 34 %. On the default
vocabulary 60,000 episodes return -4.07 on average; published: -4.12."""

HUNDRED = ScoreRange(worst=-6.0, data=-3.50, best=-1.56)
"""Of the game with `words=100`: 20,000 episodes of `mixture` and of `optimal`."""

_FIVE_LETTERS = re.compile("[a-z]{5}")


def published_feedback(guess: str, answer: str) -> str:
    """Return a letter of `g`, `y`, `b` for each letter; repeated letters are not counted."""
    return "".join(
        "g" if said == hidden else "y" if said in answer else "b"
        for said, hidden in zip(guess, answer, strict=True)
    )


def newspaper_feedback(guess: str, answer: str) -> str:
    """Return the same, but mark no letter more often than `answer` has it; greens come first."""
    pairs = list(zip(guess, answer, strict=True))
    spare = [hidden for said, hidden in pairs if said != hidden]
    marks = ""
    for said, hidden in pairs:
        if said == hidden:
            marks += "g"
        elif said in spare:
            spare.remove(said)
            marks += "y"
        else:
            marks += "b"
    return marks


FEEDBACK: dict[str, Callable[[str, str], str]] = {
    "published": published_feedback,
    "newspaper": newspaper_feedback,
}
"""Feedback rules of (guess, answer) by name."""

_IN_WORDS = {"g": "here", "y": "elsewhere", "b": "nowhere"}


def reworded(text: str, rng: random.Random) -> str:
    """Return an observation with a word for each mark."""
    if text == HEADER:
        return "Find the hidden word:\n"
    marks = [_IN_WORDS[mark] for mark in text.split()]
    return (", ".join(marks) if marks else "That is no word.") + "\n"


_CODES = {"".join(marks): code for code, marks in enumerate(product("byg", repeat=5))}


def said(guess: str) -> str:
    """Return a guess as an action."""
    return " ".join(guess) + "\n"


def _listed(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"wordle option vocab: {path!r} cannot be read: {error}") from error
    found = (line.strip() for line in lines)
    words = list(dict.fromkeys(word for word in found if _FIVE_LETTERS.fullmatch(word)))
    if not words:
        raise UsageError(
            f"wordle option vocab: {path!r} has no five-letter word in lower case; give a file "
            "with one word a line"
        )
    return words


class Vocabulary:
    """A word list with a feedback rule, and all that follows from the two, computed when asked.

    It is the same for every episode and never changes, so an environment pickles as the name of its
    vocabulary alone.

    Args:
        path: of the word list.
        rule: of the feedback, a name in `FEEDBACK`.
        answers: of a second list, whose words are guesses too and alone are hidden; empty has the
            first list's words hidden.
        count: how many words of the list are used, at equal distances; None is all.
    """

    def __init__(self, path: str, rule: str, answers: str = "", count: int | None = None) -> None:
        self.path, self.rule, self.extra, self.count = path, rule, answers, count
        self.feedback = FEEDBACK[rule]
        listed = _listed(path)
        if count is not None:
            if not 1 <= count <= len(listed):
                raise UsageError(
                    f"wordle option words is {count}; {path!r} has 1 to {len(listed)} to choose"
                )
            listed = [listed[i * len(listed) // count] for i in range(count)]
        self.answers = [w for w in _listed(answers) if w not in listed] if answers else listed
        if not self.answers:
            raise UsageError(f"wordle option vocab: {path!r} has every unseen word; give another")
        self.words = list(dict.fromkeys(listed + self.answers))
        self.known = frozenset(self.words)
        self.actions = [said(word) for word in self.words]
        self.everything = tuple(range(len(self.words)))
        # A row is one byte a word: 4096 rows of the largest published list are 53 MB.
        self._row = lru_cache(4096)(self._compute_row)
        self.best = lru_cache(16384)(self._compute_best)

    def __reduce__(self) -> tuple[Callable[..., "Vocabulary"], tuple[Any, ...]]:
        return vocabulary, (self.path, self.rule, self.extra, self.count)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Vocabulary":
        return self

    def _compute_row(self, guess: str) -> bytes:
        feedback = self.feedback
        return bytes([_CODES[feedback(guess, word)] for word in self.words])

    def fitting(self, words: tuple[int, ...], guess: str, marks: str) -> tuple[int, ...]:
        """Return those of `words` (indices) that would have answered `guess` with `marks`."""
        row, code = self._row(guess), _CODES[marks]
        return tuple([word for word in words if row[word] == code])

    def _compute_best(self, words: tuple[int, ...]) -> list[int]:
        """Return those of `words` whose answer tells most about which of `words` is hidden.

        That is the largest expected decrease of log(number of words left).
        """
        told: dict[int, float] = {}
        for word in words:
            row = self._row(self.words[word])
            sizes = Counter([row[other] for other in words]).values()
            # fsum rounds once, so words that tell the same amount tie whatever the order.
            told[word] = -math.fsum(size * math.log(size) for size in sizes)
        most = max(told.values())
        return [word for word in words if told[word] == most]


@cache
def vocabulary(path: str, rule: str, answers: str = "", count: int | None = None) -> Vocabulary:
    """Return the vocabulary of given files, read once per process."""
    return Vocabulary(path, rule, answers, count)


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
    """Wordle of LMRL-Gym; the module's docstring has the rules.

    Args:
        vocab: a file with one word a line; its five-letter words are answers and guesses. None is
            our own list.
        feedback: `published` or `newspaper`.
        bad_word_reward: for a guess that is no word.
        require_words_in_vocab: whether five letters that are no word of the list are a bad word.
        fixed_answer: whether the hidden word is drawn once, at reset; None is the opposite of
            `faithful`.
        unseen_answers: whether the hidden word is one of 100 that the default list has not got.
        words: how many words of the list are used, at equal distances; None is all. Fewer words are
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
        feedback: str = "published",
        bad_word_reward: float = -1.0,
        require_words_in_vocab: bool = True,
        fixed_answer: bool | None = None,
        faithful: bool = False,
        unseen_answers: bool = False,
        words: int | None = None,
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
        counts = is_word or (not self.only_words and bool(_FIVE_LETTERS.fullmatch(guess)))
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

    players: ClassVar[Mapping[str, Callable[[Any, random.Random], Player]]] = {
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
