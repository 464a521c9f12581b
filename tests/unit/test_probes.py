"""The data of the mazes: walks inside sub-mazes that a clone cannot put together."""

from statistics import fmean

import pytest

from benchmarks.probes.__main__ import rewarded
from benchmarks.probes.maze import best_tenth, clone, q_learned, score
from lmrl.data.generate import episodes
from lmrl.data.replay import replay_all
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.tasks import make
from lmrl.tasks.maze import Maze
from lmrl.tasks.maze.grid import grid
from lmrl.tasks.maze.walks import shows_whole_way, submazes
from lmrl.trajectory import Trajectory


@pytest.fixture(scope="module")
def env() -> Maze:
    made = make("maze-fo")
    assert isinstance(made, Maze)
    return made


@pytest.fixture(scope="module")
def data(env: Maze) -> list[Trajectory]:
    return list(episodes(env, "maze-fo", 1240, 0, "mixture", {}))


def test_there_are_three_submazes_that_meet_at_the_crossing(env: Maze) -> None:
    parts = submazes(env.grid, env.goal)
    assert [len(part) for part in parts] == [4, 12, 12]
    assert frozenset.intersection(*parts) == {(5, 6)}
    assert frozenset.union(*parts) == set(env.grid.cells)
    assert len(submazes(grid("double_t_flipped"), (1, 6))) == 3
    assert submazes(grid("umaze"), (3, 3)) == [frozenset(grid("umaze").cells)]


def test_walks_stay_inside_and_show_no_whole_way(env: Maze, data: list[Trajectory]) -> None:
    parts = submazes(env.grid, env.goal)
    good = total = 0
    for episode in data:
        _, info = env.reset(seed=episode.seed, options=episode.options["start"])
        start = cell = tuple(info["position"])
        inside = next(part for part in parts if start in part)
        turns = episode.turns if episode.ending == "terminated" else episode.turns[:-1]
        for turn in turns:
            good += turn.action in env.grid.best_moves(cell, env.goal)
            total += 1
            cell = env.grid.move[cell, turn.action]
            assert cell in inside
        actions = [turn.action for turn in turns]
        assert not shows_whole_way(env.grid, env.goal, start, actions)
    assert shows_whole_way(env.grid, env.goal, (7, 6), ["move down\n"])
    assert 0.3 < good / total < 0.45  # 0.15 of a solver, and those that chance makes optimal


def test_statistics_are_the_published_ones(data: list[Trajectory]) -> None:
    assert fmean(episode.total_reward for episode in data) == pytest.approx(-19.7, abs=0.5)
    assert fmean(len(episode.turns) for episode in data) == pytest.approx(19.7, abs=0.5)
    assert fmean(episode.info["success"] for episode in data) == pytest.approx(0.11, abs=0.02)


def test_a_clone_of_the_best_is_beaten_by_values(env: Maze, data: list[Trajectory]) -> None:
    cloned = score(env, clone(best_tenth(data), greedy=True), episodes=4)
    assert 40.0 < cloned < 75.0
    assert score(env, clone(data, greedy=False), episodes=4) < 75.0
    assert score(env, q_learned(data, sweeps=60), episodes=1) > 95.0


def test_whole_optimal_episodes_can_be_cloned(env: Maze) -> None:
    whole = list(episodes(env, "maze-fo", 1240, 0, "mixture-whole", {}))
    assert score(env, clone(best_tenth(whole), greedy=True), episodes=1) > 95.0


def test_data_replay_and_their_limit_is_an_option_of_the_start(data: list[Trajectory]) -> None:
    assert not replay_all(data[:20]).differences
    env = make("maze-po")
    env.reset(seed=0, options={"max_steps": 1, "init_position": [1, 1]})
    assert not env.step("move right\n").truncated
    assert env.step("move right\n").truncated
    with pytest.raises(UsageError, match="max_steps is 0"):
        env.reset(seed=0, options={"max_steps": 0})
    assert len(play(env, "mixture", 1, "maze-po").turns) > 21


def test_rewarded_actions() -> None:
    found = list(episodes(make("wordle"), "wordle", 20, 0, "optimal", {}))
    solved = sum(bool(episode.info["success"]) for episode in found)
    assert rewarded(found) == pytest.approx(solved / sum(len(e.turns) for e in found))
