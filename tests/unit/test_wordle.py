"""Facts of Wordle: feedback, what fits, players, options, ends."""

import itertools
import pickle
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from lmrl.env import Step
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.tasks import make
from lmrl.tasks.wordle import Wordle
from lmrl.tasks.wordle.vocabulary import (
    DEFAULT_VOCABULARY,
    FEEDBACK,
    newspaper_feedback,
    published_feedback,
    said,
    vocabulary,
)

WORDS = DEFAULT_VOCABULARY.read_text().split()


def wordle(**options: Any) -> Wordle:
    env = make("wordle", **options)
    assert isinstance(env, Wordle)
    return env


def guess(env: Wordle, *actions: str, answer: str | None = None, seed: int = 0) -> list[Step]:
    env.reset(seed=seed, options={"answer": answer} if answer else None)
    return [env.step(action) for action in actions]


def obvious_published(guess: str, answer: str) -> str:
    marks = []
    for place in range(5):
        if guess[place] == answer[place]:
            marks.append("g")
        elif answer.count(guess[place]) > 0:
            marks.append("y")
        else:
            marks.append("b")
    return "".join(marks)


def obvious_newspaper(guess: str, answer: str) -> str:
    marks = ["b"] * 5
    free = [True] * 5  # letters of the answer that nothing has claimed yet
    for place in range(5):
        if guess[place] == answer[place]:
            marks[place], free[place] = "g", False
    for place, other in itertools.product(range(5), range(5)):
        if marks[place] == "b" and free[other] and guess[place] == answer[other]:
            marks[place], free[other] = "y", False
    return "".join(marks)


def test_feedback_equals_its_obvious_twin() -> None:
    rng = random.Random(0)
    few = ["".join(rng.choice("abc") for _ in range(5)) for _ in range(60)]
    for words in (WORDS[::8], few):
        for first, second in itertools.product(words, words):
            assert published_feedback(first, second) == obvious_published(first, second)
            assert newspaper_feedback(first, second) == obvious_newspaper(first, second)


@pytest.mark.parametrize(
    ("word", "answer", "published", "newspaper"),
    [
        ("speed", "abide", "bbyyy", "bbyby"),
        ("allay", "scare", "ybbyb", "ybbbb"),
        ("geese", "elder", "byyby", "byybb"),
        ("erase", "speed", "ybbyy", "ybbyy"),
        ("eerie", "there", "yyybg", "ybybg"),
        ("crane", "crane", "ggggg", "ggggg"),
    ],
)
def test_repeated_letters(word: str, answer: str, published: str, newspaper: str) -> None:
    assert published_feedback(word, answer) == published
    assert newspaper_feedback(word, answer) == newspaper


@pytest.mark.parametrize("rule", sorted(FEEDBACK))
def test_words_left_are_those_that_would_have_answered_the_same(rule: str) -> None:
    env = wordle(feedback=rule)
    for seed in range(20):
        env.reset(seed=seed)
        act = env.player("random", random.Random(seed))
        told: list[tuple[str, str]] = []
        step = Step.going("", 0.0)
        while not step.terminated:
            action = act("")
            step = env.step(action)
            told.append((action.replace(" ", "").strip(), step.text.replace(" ", "").strip()))
            left = [WORDS[index] for index in env.words_left()]
            assert left == [
                word
                for word in WORDS
                if all(FEEDBACK[rule](said, word) == marks for said, marks in told)
            ]
            assert env.state is not None
            assert env.state.answer in left


def test_protocol() -> None:
    env = wordle()
    assert env.reset(seed=0)[0] == "Wordle:\n"
    steps = guess(env, "c r a n e\n", "crane", " cra ne \n", "c r a m p\n", answer="cramp")
    assert [step.text for step in steps] == ["\n"] * 3 + ["g g g g g\n"]  # crane is not listed
    steps = guess(env, "a b i d e\n", "abide\n", " ab ide", answer="alive")
    assert [step.text for step in steps] == ["g b g b g\n"] * 3
    assert [step.reward for step in steps] == [-1.0] * 3


@pytest.mark.parametrize("tries", range(1, 7))
def test_a_win_at_guess_k_returns_one_minus_k(tries: int) -> None:
    env = wordle(faithful=tries % 2 == 0)
    steps = guess(env, *[said("abide")] * (tries - 1), said("angry"), answer="angry")
    assert sum(step.reward for step in steps) == -(tries - 1)
    assert [step.terminated for step in steps] == [False] * (tries - 1) + [True]
    assert steps[-1].info == {"success": True, "answer": "angry"}
    with pytest.raises(RuntimeError, match="reset"):
        env.step(said("angry"))


def test_six_misses_end_the_episode_by_the_rules() -> None:
    steps = guess(wordle(), *[said("abide")] * 6, answer="angry")
    assert sum(step.reward for step in steps) == -6.0
    assert (steps[-1].terminated, steps[-1].truncated) == (True, False)
    assert steps[-1].info["success"] is False


BAD = ["", "\n", "abid\n", "abides\n", "ABIDE\n", "zzzzz\n", "é a a a a\n", "a\tbide\n", "abide\0"]


@pytest.mark.parametrize("reward", [-1.0, -10.0])
def test_bad_words_cost_a_try_and_tell_nothing(reward: float) -> None:
    env = wordle(bad_word_reward=reward)
    assert env.reward_range == (reward, 0.0)
    for bad in BAD:
        step, last = guess(env, bad, said("angry"), answer="angry")
        assert (step.text, step.reward, step.terminated) == ("\n", reward, False)
        assert last.reward == 0.0
    steps = guess(env, *BAD[:6], answer="angry")
    assert steps[-1].terminated
    assert len(env.words_left()) == len(WORDS)
    assert sum(step.reward for step in steps) == 6 * reward


def test_words_outside_the_list_where_they_are_allowed() -> None:
    for faithful, reward in ((False, -1.0), (True, -10.0)):
        env = wordle(bad_word_reward=-10.0, require_words_in_vocab=False, faithful=faithful)
        step, bad = guess(env, "z z y y y\n", "z z y y\n", answer="angry")
        assert (step.text, step.reward) == ("b b y y g\n", reward)
        assert (bad.text, bad.reward) == ("\n", -10.0)
        assert [WORDS[i] for i in env.words_left()] == [
            w for w in WORDS if w[-1] == "y" and "y" not in w[2:4] and "z" not in w
        ]


def test_a_word_drawn_anew_fits_all_that_was_said() -> None:
    env = wordle(faithful=True)
    drawn = set()
    for seed in range(30):
        steps = guess(env, *[said("abide")] * 6, seed=seed)
        assert len({step.text for step in steps}) == 1
        assert env.state is not None
        drawn.add(env.state.answer)
    assert len(drawn) > 10
    # The published generator: one choice among the words that fit, in their order, per guess.
    env.reset(seed=5)
    env.step("zzzzz\n")
    env.step(said("abide"))
    assert env.state is not None
    assert env.state.answer == random.Random(5).choice(WORDS)


def test_both_ways_to_draw_the_word_are_the_same_game() -> None:
    means = [
        fmean(
            play(wordle(faithful=faithful), "consistent", seed).total_reward for seed in range(1500)
        )
        for faithful in (False, True)
    ]
    assert means[0] == pytest.approx(means[1], abs=0.1)


def test_mean_returns_of_the_players() -> None:
    env = wordle()
    mean = {
        player: fmean(play(env, player, seed).total_reward for seed in range(3000))
        for player in env.players
    }
    assert mean["optimal"] == pytest.approx(env.score_range.best, abs=0.06)
    assert mean["mixture"] == pytest.approx(env.score_range.data, rel=0.05)
    assert mean["optimal"] > mean["consistent"] > mean["mixture"] > mean["random"]


def test_optimal_guess_tells_most() -> None:
    words = vocabulary(str(DEFAULT_VOCABULARY), "published")
    left = words.everything[::40]

    def expected_words_left(word: int) -> float:
        """The same order of merit for these words: geometric mean of how many words are left."""
        product = 1.0
        for hidden in left:
            marks = published_feedback(words.words[word], words.words[hidden])
            product *= len(words.fitting(left, words.words[word], marks))
        return product

    least = min(map(expected_words_left, left))
    assert words.best(left) == [w for w in left if expected_words_left(w) == least]


def test_vocabulary_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(" apple \nfour\nangle\nsixsix\nApple\napple\nna\u00efve\n\nworld")
    env = wordle(vocab=str(path))
    assert env.vocabulary.words == ["apple", "angle", "world"]
    assert guess(env, said("abide"), said("world"), answer="world")[1].terminated
    with pytest.raises(UsageError, match="cannot be read"):
        make("wordle", vocab=str(tmp_path / "none.txt"))
    path = tmp_path / "empty.txt"
    path.write_text("four\n")
    with pytest.raises(UsageError, match="no five-letter word"):
        make("wordle", vocab=str(path))


def test_default_vocabulary() -> None:
    assert len(WORDS) == 431  # as many as published
    assert sorted(set(WORDS)) == WORDS
    assert all(len(word) == 5 and word.isascii() and word.islower() for word in WORDS)


def test_fewer_words_are_spread_over_the_list() -> None:
    env = wordle(words=100)
    words = env.vocabulary.words
    assert len(set(words)) == 100 and words == sorted(words) and set(words) < set(WORDS)
    places = [WORDS.index(word) for word in words]
    assert set(np.diff(places)) == {4, 5}
    assert env.score_range.best > wordle().score_range.best  # an easier game
    other = next(word for word in WORDS if word not in words)
    step = guess(env, said(other), answer=words[0])[0]
    assert step.reward == -1.0 and step.text == "\n"
    assert pickle.loads(pickle.dumps(env)).vocabulary is env.vocabulary


def test_pickles_are_small_and_share_the_vocabulary() -> None:
    env = wordle()
    guess(env, said("abide"), seed=0)
    pickled = pickle.dumps(env)
    assert len(pickled) < 2000
    assert pickle.loads(pickled).vocabulary is env.vocabulary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedback": "newspapr"}, "did you mean 'newspaper'"),
        ({"bad_word_reward": float("nan")}, "bad_word_reward is nan"),
        ({"bad_word_reward": "-1"}, "bad_word_reward is '-1'"),
        ({"words": 0}, "words is 0; .* has 1 to 431"),
        ({"words": 432}, "words is 432"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make("wordle", **options)


def test_bad_starts_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'answer'"):
        wordle().reset(seed=0, options={"anser": "angry"})
    with pytest.raises(UsageError, match="not among the 431 words"):
        wordle().reset(seed=0, options={"answer": "zzzzz"})
