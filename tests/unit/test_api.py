"""`import lmrl`: what the functions return and refuse,."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lmrl
from lmrl.data import write
from lmrl.data.generate import episodes as scripted
from lmrl.episode import play
from lmrl.schema import to_table
from lmrl.tasks import TASKS, make
from lmrl.trajectory import Trajectory

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "data" / "maze"
    write(scripted(make("maze-fo"), "maze-fo", 30, 0, "mixture", {}), folder)
    return folder


def same(one: Trajectory, other: Trajectory) -> bool:
    return bool(to_table([one]).equals(to_table([other])))


def test_every_public_name_is_there_and_documented() -> None:
    reference = (ROOT / "docs" / "api" / "lmrl.md").read_text()
    for name in lmrl.__all__:
        assert getattr(lmrl, name) is not None and name in dir(lmrl)
        assert f"lmrl.{name}" in PAGE + reference, name
    with pytest.raises(AttributeError, match="no attribute 'rolout'"):
        _ = lmrl.rolout


def test_the_import_is_light() -> None:
    code = (
        "import sys, lmrl; heavy = {'torch', 'ray', 'pyarrow', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy; lmrl.rollout('maze-fo', 'random', seed=0); "
        "assert not {'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_policy_of_text_sees_what_a_policy_of_tokens_sees(task: str) -> None:
    """The text is the window's, and a player that answers through it plays the same episode."""
    pytest.importorskip("chess")
    seen: list[str] = []
    expected = play(make(task), "mixture", 5, task)
    actions = iter([turn.action for turn in expected.turns])

    def policy(text: str) -> str:
        seen.append(text)
        return next(actions).removesuffix("\n")  # the end of an action may be left out

    found = lmrl.rollout(task, policy, seed=5)
    assert [t.action for t in found.turns] == [t.action for t in expected.turns]
    assert found.total_reward == expected.total_reward and found.player == "policy"
    texts: list[str] = []
    for turn, text in zip(found.turns, seen, strict=True):
        texts.append(turn.observation)
        assert text == "".join(texts[-turn.span :])
        texts.append(turn.action)


def test_what_follows_the_end_of_an_action_is_left_out() -> None:
    found = lmrl.rollout("maze-fo", lambda text: "move up\nmove down", seed=0)
    assert {turn.action for turn in found.turns} == {"move up\n"}


def test_seeds_are_recorded_and_make_an_episode_again() -> None:
    first = lmrl.rollout("wordle", "random")
    assert same(lmrl.rollout("wordle", "random", seed=first.seed), first)
    named = lmrl.rollout(make("wordle"), "random", seed=1, name="wordle")
    assert same(named, lmrl.rollout("wordle", "random", seed=1))


def test_scores_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    score = lmrl.evaluate("random", "maze-fo", episodes=8)
    again = lmrl.evaluate(lambda text: "move up", "maze-fo", episodes=8, first_seed=3)
    assert score.episodes == again.episodes == 8
    seeds = range(10**9, 10**9 + 8)
    returns = [play(make("maze-fo"), "random", seed).total_reward for seed in seeds]
    assert score.return_mean == pytest.approx(np.mean(returns))


def test_episodes_are_a_sequence_with_tables(data: Path) -> None:
    episodes = lmrl.load(str(data))
    assert len(episodes) == 30 and len(list(episodes)) == 30
    assert same(episodes[-1], list(episodes)[29]) and len(episodes[10:14]) == 4
    assert same(episodes[10:14][1], episodes[11])
    assert [e.total_reward for e in episodes] == pytest.approx(episodes.returns.tolist())
    summary, turns = episodes.summary(), episodes.turns()
    assert summary["return"].to_pylist() == episodes.returns.tolist()
    assert summary["success"].type == pa.bool_()
    assert turns.num_rows == episodes.lengths.sum()
    last = turns.slice(turns.num_rows - 1).to_pylist()[0]
    assert last["episode"] == 29 and last["turn"] == len(episodes[-1].turns) - 1
    assert last["action"] == episodes[-1].turns[-1].action
    assert "mean return" in repr(episodes) and repr(episodes[:0]) == "Episodes(0)"
    with pytest.raises(IndexError):
        episodes[30]
    part = episodes[5:9]
    assert part.turns().num_rows == part.lengths.sum() == sum(len(e.turns) for e in part)


def bad_policy(text: str) -> Any:
    return None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: lmrl.rollout("maze", "random"), r"task 'maze' is unknown; did you mean 'maze-"),
        (lambda: lmrl.rollout("maze-fo", "randon"), "player 'randon' is unknown; did you mean"),
        (lambda: lmrl.rollout("maze-fo", bad_policy), "returned None; it has to return a text"),
        (lambda: lmrl.load("no/such"), "no data set at no/such"),
        (lambda: lmrl.evaluate("random"), "give a task"),
        (lambda: lmrl.evaluate("random", "maze-fo", episodes=0), "episodes is 0; give 1 or more"),
        (lambda: lmrl.evaluate("random", "maze-fo", temperature=0.5), "temperature is for checkpo"),
        (lambda: lmrl.train("maze-fo-pp"), "did you mean 'maze-fo-ppo'"),
        (lambda: lmrl.train("maze-fo-ppo", updates=-1), "updates"),
        (lambda: lmrl.train("maze-fo-ppo", fields={"learner.lr": 1}), "learner.lr"),
        (lambda: lmrl.train("maze-fo-ppo", resume=True, updates=3), "is not a run directory"),
        (lambda: lmrl.evaluate(Path("."), "maze-fo"), "not a checkpoint|config.json"),
    ],
)
def test_bad_input_is_a_sentence(
    call: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lmrl.UsageError, match=sentence):
        call()
    assert not list(tmp_path.iterdir())
