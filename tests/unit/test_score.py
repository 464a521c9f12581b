"""Scores: the paper's normalisation."""

import random
from typing import cast

import numpy as np
import pytest

from lmrl import make
from lmrl.env import ScoreRange
from lmrl.episode import Episode, play
from lmrl.scoring.intervals import mean_interval
from lmrl.scoring.score import normalised, score, slope
from lmrl.tasks.maze import Maze

# Cells of the paper's tables 2 and 4 that agree with each other.
PUBLISHED = [
    (ScoreRange(-6.0, -4.12, -1.94), -2.81, 80.0),
    (ScoreRange(-6.0, -4.12, -1.94), -5.42, 15.4),
    (ScoreRange(-401.0, 0.21, 1.0), -22.3, 47.2),
    (ScoreRange(-1.0, 0.586, 1.0), 0.814, 77.5),
    (ScoreRange(-101.0, -83.0, -6.84), -6.97, 99.9),
    (ScoreRange(-101.0, -83.0, -25.75), -52.9, 76.3),
]


@pytest.mark.parametrize(("limits", "raw", "published"), PUBLISHED)
def test_normalisation_is_the_papers(limits: ScoreRange, raw: float, published: float) -> None:
    assert normalised(raw, limits) == pytest.approx(published, abs=0.06)


def test_the_three_constants_are_0_50_and_100() -> None:
    limits = ScoreRange(-10.0, -4.0, 2.0)
    assert [normalised(x, limits) for x in limits] == [0.0, 50.0, 100.0]


def test_a_score_counts_what_the_episodes_say() -> None:
    env = make("maze-fo", max_steps=20)
    played = [play(env, "random", seed, "maze-fo") for seed in range(30)]
    result = score(played, env.score_range)
    assert result.return_mean == pytest.approx(np.mean([t.total_reward for t in played]))
    assert result.success == np.mean([t.info["success"] for t in played])
    assert result.episodes == 30 and result.length_mean <= 21
    assert result.ci95 == mean_interval([t.total_reward for t in played])
    assert score(played[:1], env.score_range).to_json()["ci95"] is None


def test_the_slope_is_that_of_the_normalised_score() -> None:
    limits = ScoreRange(-101.0, -83.0, -6.84)
    for at in (-95.0, -20.0):
        rise = (normalised(at + 1e-3, limits) - normalised(at - 1e-3, limits)) / 2e-3
        assert slope(at, limits) == pytest.approx(rise)


@pytest.mark.parametrize("task", ["maze-fo", "maze-po"])
@pytest.mark.parametrize("limit", [3, 12, 99, 200])
def test_the_mazes_score_follows_the_limit_of_moves(task: str, limit: int) -> None:
    """Under any limit the best return is that of optimal play, and giving up is the worst."""
    env = make(task, max_steps=limit)
    assert env.score_range.worst == -(limit + 1)
    assert env.score_range.worst < env.score_range.data < env.score_range.best
    if task == "maze-fo":
        maze = cast(Maze, env)
        returns = []
        for start in maze.grid.starts:
            episode = Episode(env, 0, start={"init_position": list(start)})
            act = env.player("optimal", random.Random(0))
            while not episode.done:
                episode.act(act(episode.observation))
            returns.append(episode.trajectory().total_reward)
        assert env.score_range.best == pytest.approx(np.mean(returns))
    standard = make(task)
    assert standard.score_range == (-101.0, -83.0, -6.84 if task == "maze-fo" else -25.75)
    assert make(task, max_steps=100).score_range == standard.score_range
