"""Robustness variants: a contract over every task, and the suite's figures."""

import json
import pickle
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import pytest

from lmrl.cli import main
from lmrl.data.replay import replay
from lmrl.env import TextEnv, Wording
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.schema import from_table, to_table
from lmrl.scoring.intervals import mean_interval
from lmrl.scoring.robustness import BASE, rows, table, variants
from lmrl.scoring.score import difference, score
from lmrl.tasks import known, make
from lmrl.tasks.car_dealer.profiles import facts
from lmrl.tasks.maze import Maze
from lmrl.tasks.maze.grid import grid
from lmrl.tasks.questions.game import QuestionGame
from lmrl.tasks.wording import DISTRACTORS
from lmrl.tasks.wordle import Wordle
from lmrl.tasks.wordle.vocabulary import DEFAULT_VOCABULARY, UNSEEN_WORDS
from lmrl.trajectory import NO_IDS, Trajectory, Turn

SUITE = [
    pytest.param(task, name, dict(options), id=f"{task}-{name}")
    for task in sorted(known())
    for name, options in make(task).variants.items()
]
each = pytest.mark.parametrize(("task", "name", "options"), SUITE)
REWORDED = sorted(task for task in known() if "reworded" in make(task).wordings)
UNSEEN_BUDGETS_PAY = 0.7
"""The optimal seller rounds budgets to those that it knows: it asks too much, and gives way."""


class Plain(Maze):
    """A task from elsewhere, which has neither wordings nor variants."""

    wordings: ClassVar[Mapping[str, Wording]] = {}
    variants: Mapping[str, Mapping[str, Any]] = {}


def episodes(task: str, player: str, count: int, options: dict[str, Any]) -> list[Trajectory]:
    env = make(task, **options)
    return [play(env, player, seed, task, options) for seed in range(count)]


def texts(played: list[Trajectory]) -> list[list[str]]:
    return [[*(turn.observation for turn in t.turns), t.final] for t in played]


@pytest.mark.parametrize("task", sorted(known()))
def test_every_task_has_variants(task: str) -> None:
    env = make(task)
    assert len(env.variants) >= 3
    assert BASE not in env.variants
    assert env.wordings  # and each of them is in the suite
    assert {"wording": "reworded"} in env.variants.values()
    said = {options.get("wording") for options in env.variants.values()} - {None}
    assert said == set(env.wordings)


@each
def test_a_variant_shows_something_else(task: str, name: str, options: dict[str, Any]) -> None:
    base, varied = (episodes(task, "random", 4, given) for given in ({}, options))
    assert texts(base) != texts(varied)


@each
def test_a_variant_repeats_and_replays(task: str, name: str, options: dict[str, Any]) -> None:
    played = episodes(task, "mixture", 2, options)
    assert texts(played) == texts(episodes(task, "mixture", 2, options))
    stored = from_table(to_table(played))
    assert [t.options for t in stored] == [options, options]
    assert [replay(t) for t in stored] == [None, None]


def test_a_worded_task_has_the_actions_of_the_task() -> None:
    assert make("maze-fo", wording="reworded").actions == make("maze-fo").actions != ()


@cache
def base_returns(task: str, count: int) -> list[float]:
    """Return what optimal play earns in the task itself, played once for all of its variants."""
    return [t.total_reward for t in episodes(task, "optimal", count, {})]


@each
def test_optimal_play_stays_good(task: str, name: str, options: dict[str, Any]) -> None:
    count = 20 if make(task).max_turns > 200 else 40
    base = base_returns(task, count)
    varied = [t.total_reward for t in episodes(task, "optimal", count, options)]
    if "wording" in options:
        assert varied == base  # the game is the same, and players read the task's own words
    elif name == "unseen-budgets":
        assert UNSEEN_BUDGETS_PAY < fmean(varied) < fmean(base)
    else:
        limits = make(task).score_range
        assert fmean(varied) >= fmean(base) - 0.15 * (limits.best - limits.worst)


@pytest.mark.parametrize("task", REWORDED)
def test_rewording_keeps_what_was_said_apart(task: str) -> None:
    """Different observations stay different, so no fact that told them apart is lost."""
    env = make(task)
    reword = env.wordings["reworded"]
    count = 2 if env.max_turns > 200 else 15
    seen = {
        text
        for player in ("random", "mixture", "optimal")
        for episode in texts(episodes(task, player, count, {}))
        for text in episode
    }
    reworded = {text: reword(text, random.Random(0)) for text in seen}
    assert len(set(reworded.values())) == len(seen)
    changed = [text for text in seen if reworded[text] != text]
    # Nearly all of them: what is left are openings of buyers without a sentence, for example.
    assert len(changed) >= 0.95 * len(seen)
    assert all(text.endswith("\n") == new.endswith("\n") for text, new in reworded.items())


def test_a_reworded_buyer_says_every_sentence_in_other_words() -> None:
    reword = make("car-dealer").wordings["reworded"]
    slots = {
        "brand": "a Mercedes-Benz",
        "type": "SUV",
        "features": "leather seats and sunroof",
        "missing": "Apple CarPlay",
        "percent": "10",
        **dict.fromkeys(("hint", "offer", "counter"), "$42,500"),
    }
    for key, sentences in facts()["says"].items():
        for sentence, other in zip(sentences, facts()["reworded"][key], strict=True):
            said = sentence.format(**slots)
            assert reword(said, random.Random(0)) == other.format(**slots)
            assert reword(f"Hm. {said} ", random.Random(0)) == f"Hm. {other.format(**slots)} "


@pytest.mark.parametrize("task", ["car-dealer", "guess-my-city", "twenty-questions"])
@pytest.mark.parametrize("wording", ["distractor", "hostile"])
def test_additions_leave_the_answer_alone(task: str, wording: str) -> None:
    base, varied = (episodes(task, "optimal", 10, o) for o in ({}, {"wording": wording}))
    added = []
    for before, after in zip(texts(base), texts(varied), strict=True):
        assert before[0] == after[0]  # there is no answer yet
        for own, said in zip(before[1:], after[1:], strict=True):
            assert said.startswith(own.removesuffix("\n")) and said.endswith("\n")
            added.append(said.removeprefix(own.removesuffix("\n")).strip())
    assert all(added) and len(set(added)) > 3
    if wording == "distractor":
        assert set(added) <= set(DISTRACTORS)


def test_a_reworded_diagram_has_the_whole_position() -> None:
    env = make("chess", wording="reworded")
    text, _ = env.reset(seed=0)
    assert text.split("\n")[1] == "8 r n b q k b n r"
    assert text.split("\n")[5] == "4 . . . . . . . ."
    assert "White to move, castling KQkq, en passant -, 0 half-moves" in text


@pytest.mark.parametrize("task", REWORDED)
def test_a_worded_task_keeps_the_contract(task: str) -> None:
    env = make(task, wording="reworded")
    inside = make(task)
    for name in ("max_turns", "reward_range", "score_range", "window", "stop", "oracle_option"):
        assert getattr(env, name) == getattr(inside, name)
    actions = [turn.action for turn in episodes(task, "random", 1, {})[0].turns][:6]
    env.reset(seed=0)
    for action in actions[:2]:
        env.step(action)
    snapshot, copy = env.snapshot(), pickle.loads(pickle.dumps(env))
    rest = [env.step(action) for action in actions[2:]]
    assert [copy.step(action) for action in actions[2:]] == rest
    env.restore(snapshot)
    assert [env.step(action) for action in actions[2:]] == rest
    with pytest.raises(UsageError, match="did you mean 'random'"):
        env.player("randm", random.Random(0))


def test_a_cut_state_is_reworded_too() -> None:
    env = make("maze-fo", wording="reworded", max_steps=1)
    env.reset(seed=0, options={"init_position": (1, 1)})
    env.step("move up\n")
    last = env.step("move up\n")
    assert last.truncated and last.text == "You are too late.\n"
    assert last.final_observation.startswith("You stand in row 1, column 1, and have")


def test_bad_wordings_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'reworded'"):
        make("maze-fo", wording="rewordd")
    with pytest.raises(UsageError, match="did you mean 'wording'"):
        make("maze-fo", wordin="reworded")
    with pytest.raises(UsageError, match="no other wordings"):
        make("test_robustness:Plain", wording="reworded")
    with pytest.raises(UsageError, match="no variants"):
        variants("test_robustness:Plain", {})


# -- unseen things --------------------------------------------------------------------------------


def test_unseen_words_are_in_no_default_episode() -> None:
    default, unseen = (set(p.read_text().split()) for p in (DEFAULT_VOCABULARY, UNSEEN_WORDS))
    assert len(unseen) == 100 and not default & unseen
    env = make("wordle", unseen_answers=True)
    assert isinstance(env, Wordle)
    hidden = set()
    for seed in range(200):
        env.reset(seed=seed)
        assert env.state is not None
        hidden.add(env.state.answer)
    assert hidden <= unseen and len(hidden) > 60
    env.reset(seed=0, options={"answer": "crane" if "crane" in default else "table"})
    assert env.step("t a b l e\n").text == "g g g g g\n"  # the default words are guesses too
    assert pickle.loads(pickle.dumps(env.vocabulary)) is env.vocabulary
    with pytest.raises(UsageError, match="fixed_answer"):
        make("wordle", unseen_answers=True, faithful=True)
    with pytest.raises(UsageError, match="every unseen word"):
        make("wordle", unseen_answers=True, vocab=str(UNSEEN_WORDS))


@pytest.mark.parametrize("task", ["guess-my-city", "twenty-questions"])
def test_held_out_things_are_never_hidden_in_training(task: str) -> None:
    def hidden(split: str) -> set[int]:
        env = make(task, hidden=split)
        assert isinstance(env, QuestionGame)
        return set(env.choices())

    assert not hidden("training") & hidden("held-out")
    assert hidden("training") | hidden("held-out") == hidden("all")
    assert 4 * len(hidden("held-out")) <= len(hidden("training")) + 4
    env = make(task, hidden="held-out")
    assert isinstance(env, QuestionGame)
    for seed in range(50):
        env.reset(seed=seed)
        assert env.state is not None and env.state.hidden in hidden("held-out")
    with pytest.raises(UsageError, match="did you mean 'held-out'"):
        make(task, hidden="heldout")


def test_the_flipped_maze_is_as_long() -> None:
    base, flipped = grid("double_t_maze"), grid("double_t_flipped")
    ways = base.distances(base.goal)
    assert flipped.distances(flipped.goal) == {(9 - row, col): n for (row, col), n in ways.items()}


def test_a_moved_goal_has_to_be_free() -> None:
    assert "position 1, 1. Your" in make("maze-fo", goal=[1, 1]).reset(seed=0)[0]
    with pytest.raises(UsageError, match="not a free cell"):
        make("maze-fo", goal=[0, 0])


def test_openings_are_positions_of_real_games() -> None:
    import chess

    env = make("chess", positions="openings")
    seen = set()
    for seed in range(48):
        fen = env.reset(seed=seed)[1]["position"]
        board = chess.Board(fen)
        assert board.is_valid() and board.turn is chess.WHITE
        assert len(board.piece_map()) >= 30
        seen.add(fen)
    assert len(seen) == 24 and env.score_range == make("chess").score_range


def test_budgets_are_checked() -> None:
    for budgets in ([], [0], 5, ["x"]):
        with pytest.raises(UsageError, match="budgets"):
            make("car-dealer", budgets=budgets)


# -- the suite ------------------------------------------------------------------------------------


def episode(seed: int, reward: float) -> Trajectory:
    turn = Turn("o", NO_IDS, 1, "a", NO_IDS, NO_IDS.astype(np.float32), NO_IDS, reward)
    return Trajectory("maze-fo", {}, seed, (turn,), "terminated", "", NO_IDS, 1)


def test_differences_are_paired_by_seed() -> None:
    base = [episode(seed, 10.0 * seed) for seed in range(50)]
    other = [episode(seed, 10.0 * seed - 1.0 - (seed % 2)) for seed in reversed(range(5, 60))]
    found = difference(other, base)
    assert found is not None and found.pairs == 45
    assert found.mean == pytest.approx(-1.0 - 23 / 45)
    # The spread between episodes is no part of it: every pair differs by one or two.
    assert found.ci95 is not None
    assert -2.0 < found.ci95[0] < found.mean < found.ci95[1] < -1.0
    assert found.ci95 == mean_interval([-1.0 - (seed % 2) for seed in reversed(range(5, 50))])
    assert difference(other, [episode(99, 0.0)]) is None


def test_rows_say_what_could_not_be_played() -> None:
    limits = make("maze-fo").score_range
    base = [episode(seed, -3.0) for seed in range(10)]
    fewer = [episode(seed, -5.0) for seed in range(8)]
    suite: dict[str, dict[str, Any]] = {BASE: {}, "a": {"x": 1}, "b": {"x": 2}}
    found = rows(
        suite,
        {BASE: (score(base, limits), base), "a": (score(fewer, limits), fewer), "b": "no"},
        10,
    )
    assert [row.variant for row in found] == [BASE, "a", "b"]
    assert found[0].difference is None and found[0].note == ""
    assert found[1].difference is not None and found[1].difference.mean == -2.0
    assert found[1].note == "2 of 10 episodes failed"
    assert found[2].score is None and found[2].note == "no"
    text = table(found)
    assert "-2.00" in text and text.endswith("no") and len(text.split("\n")) == 4


def test_a_suite_is_scored_from_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ["evaluate", "player", "random", "--suite", "robustness", "--task", "maze-fo"]
    assert main([*given, "--episodes", "12", "--json", "--out", str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    found = {row["variant"]: row for row in record["variants"]}
    assert list(found) == [BASE, *make("maze-fo").variants]
    assert found[BASE]["difference"] is None
    for name, row in found.items():
        assert row["episodes"] == 12 and row["note"] == ""
        if name != BASE:
            gap = row["return_mean"] - found[BASE]["return_mean"]
            assert row["difference"]["mean"] == pytest.approx(gap)
            assert row["difference"]["pairs"] == 12
    assert {p.stem for p in tmp_path.glob("*.parquet")} == set(found)
    assert main(["replay", str(tmp_path)]) == 0
    assert main([*given, "--episodes", "3", "--options", '{"max_steps": 5}']) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in found)


def test_variants_are_listed_with_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == 0
    listed = {row["task"]: row["variants"] for row in json.loads(capsys.readouterr().out)}
    for task in known():
        assert listed[task] == make(task).variants


def test_base_options_hold_for_every_variant() -> None:
    found = variants("maze-fo", {"max_steps": 7})
    assert all(options["max_steps"] == 7 for options in found.values())
    envs: list[TextEnv] = [make("maze-fo", **options) for options in found.values()]
    assert {env.max_turns for env in envs} == {8}


@pytest.mark.system
def test_a_checkpoint_is_scored_on_a_suite_with_one_start(
    local_ray: None, checkpoint: Path
) -> None:
    """One sampler for all variants; what does not fit the model's context is said, not scored."""
    import ray

    from cluster.config import EvaluationConfig
    from cluster.evaluation.checkpoint import score_checkpoint

    suite = variants("maze-fo", {"max_steps": 4})
    before = ray.cluster_resources()["CPU"]
    found = score_checkpoint(checkpoint, "maze-fo", suite, EvaluationConfig(6), max_tokens=4)
    assert list(found) == list(suite) and ray.cluster_resources()["CPU"] == before
    for name, result in found.items():
        if name == "reworded":
            assert isinstance(result, str) and "too short for one turn" in result
            continue
        assert not isinstance(result, str)
        played = from_table(result[1])
        assert [t.seed for t in played] == list(range(1_000_000_000, 1_000_000_006))
        assert all(t.options == suite[name] for t in played)
        assert [replay(t) for t in played] == [None] * 6
