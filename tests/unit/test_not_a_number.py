"""Numbers that are not finite: refused where they come in, and written so that JSON can be read."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.presets import preset
from cluster.reporting.progress import Progress
from lmrl.cli import main
from lmrl.data.store import load, stored_returns, write
from lmrl.env import Step
from lmrl.episode import BadInfo, BadReward, Episode, play
from lmrl.errors import DataError
from lmrl.runs.log import RunLog
from lmrl.schema import from_table, table_returns, to_table
from lmrl.scoring.score import Score
from lmrl.scoring.tables import SweepRow, best_row
from lmrl.tasks.maze import Maze
from lmrl.trajectory import Trajectory


class Odd(Maze):
    """The maze, with one reward for every action."""

    odd: Any = 0.0

    def step(self, action: str) -> Step:
        return super().step(action)._replace(reward=self.odd)


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf, "1", None, [1.0]])
def test_a_reward_that_is_not_a_finite_number_fails_its_episode(reward: Any) -> None:
    env = Odd()
    env.odd = reward
    episode = Episode(env, 17, name="odd")
    with pytest.raises(BadReward, match=r"turn 1 is .* \(task odd, seed 17\)"):
        episode.act("move up\n")
    assert not episode.turns


@pytest.mark.parametrize("reward", [1, -2.5, np.float32(0.5), np.int64(3)])
def test_a_reward_may_be_any_finite_number(reward: Any) -> None:
    env = Odd()
    env.odd = reward
    episode = Episode(env, 0)
    episode.act("move up\n")
    assert episode.turns[0].reward == float(reward)


def damaged(value: float) -> list[Trajectory]:
    """Return three episodes, of which the second has a bad reward in its second turn."""
    made = [play(Maze(max_steps=4), "random", seed, "maze-fo") for seed in range(3)]
    first, second, *others = made[1].turns
    turns = (first, replace(second, reward=value), *others)
    return [made[0], replace(made[1], turns=turns), made[2]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_data_with_such_a_reward_are_refused(
    value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = to_table(damaged(value))
    for read in (from_table, table_returns):
        with pytest.raises(DataError, match=f"turn 2 of episode 2 of its part is {value}"):
            read(table)
    assert len(from_table(table.take(pa.array([0, 2])))) == 2
    assert len(from_table(table.slice(2))) == len(table_returns(table.slice(2))) == 1
    write(damaged(value), tmp_path / "data")
    for path in (tmp_path / "data", next((tmp_path / "data").glob("*.parquet"))):
        with pytest.raises(DataError, match=r"part-00000\.parquet: the reward"):
            list(load(path))
        with pytest.raises(DataError):
            stored_returns(path)
        assert main(["data", "show", str(path)]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and "of its part is" in said.err


def score(mean: float) -> Score:
    """Return a score of some mean return."""
    return Score(mean, (mean, mean), mean, 4, 0.0, 3.0)


def test_a_score_that_is_not_a_number_never_becomes_the_best(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    progress = Progress(preset("maze-fo-ppo"), log, "bc")
    table = to_table(damaged(0.0))
    for update, mean in enumerate([math.nan, -50.0, math.nan, math.inf, -60.0], 1):
        progress.selected(score(mean), table, update)
    assert progress.best == (-50.0, 2)
    rows = [SweepRow(t, None, score(mean)) for t, mean in enumerate([math.nan, -5.0, -3.0])]
    assert best_row(rows) is rows[2]
    log.close()


def test_files_of_a_run_are_strict_json(tmp_path: Path) -> None:
    def strict(text: str) -> Any:
        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        return json.loads(text, parse_constant=refuse)

    log = RunLog(tmp_path)
    log.metrics(1, {"train/grad_norm": math.inf, "train/loss": math.nan, "train/lr": 0.1})
    log.line("scores.jsonl", {"ci95": [math.nan, 1.0], "of": {"x": -math.inf}})
    log.status(seconds_left=math.inf)
    log.close()
    (row,) = map(strict, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert (row["train/grad_norm"], row["train/loss"]) == (None, None)
    assert row["train/lr"] == 0.1
    (row,) = map(strict, (tmp_path / "scores.jsonl").read_text().splitlines())
    assert row == {"ci95": [None, 1.0], "of": {"x": None}}
    assert strict((tmp_path / "status.json").read_text())["seconds_left"] is None


class Telling(Maze):
    """The maze, with a fact of ours in every step."""

    facts: Any = None

    def step(self, action: str) -> Step:
        return super().step(action)._replace(info=self.facts)


@pytest.mark.parametrize("fact", [(1, 2), {1}, {1: 2}, b"text", np.bool_(True), [object()]])
def test_a_fact_that_cannot_be_stored_fails_its_episode(fact: Any) -> None:
    env = Telling(max_steps=1)
    env.facts = {"fact": fact}
    episode = Episode(env, 17, name="telling", start={"init_position": [1, 1]})
    episode.act("move up\n")  # only the facts of the last step are stored
    with pytest.raises(BadInfo, match=r"turn 2 \(task telling, seed 17\) has 'fact'"):
        episode.act("move up\n")


def test_facts_are_stored_as_they_are(tmp_path: Path) -> None:
    facts = {"list": [1, [2.5, "three"], None], "object": {"key": True}}
    env = Telling(max_steps=1)
    env.facts = facts
    trajectory = play(env, "random", 0)
    write([trajectory], tmp_path / "data")
    assert next(iter(load(tmp_path / "data"))).info == {**facts, "last_text": "Failure\n"}


@pytest.mark.parametrize("key", ["replaces_history", "final_observation"])
def test_a_field_of_a_step_is_refused_among_its_facts(key: str) -> None:
    env = Telling()
    env.facts = {key: True}
    with pytest.raises(BadInfo, match=f"has the key '{key}', which is a field of Step"):
        Episode(env, 0).act("move up\n")


def test_options_that_cannot_be_stored_are_refused() -> None:
    trajectory = play(Maze(), "optimal", 0, "maze-fo", {"given": object()})
    with pytest.raises(DataError, match="options of an episode of maze-fo"):
        to_table([trajectory])
