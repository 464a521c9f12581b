"""Rerankers: scores against plain computations, and the maze's move accuracy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from learners.algorithms.base import Algorithm
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.offline.mc import MC
from learners.algorithms.offline.qsft import QSFT
from learners.checkpoints.guided import make_guided
from learners.networks.causal_lm import load_causal_lm
from learners.rerank import Reranker
from lmrl.episode import Episode, rollout
from lmrl.errors import UsageError
from lmrl.tasks import make
from lmrl.tasks.maze.grid import MOVES


def context_of(policy: Reranker) -> np.ndarray:
    return Episode(make("maze-fo"), 3, policy.codec).context


def test_a_plain_policy_scores_by_log_probability(checkpoint: Path) -> None:
    policy = Reranker(checkpoint, list(MOVES))
    context = context_of(policy)
    model = load_causal_lm(checkpoint)
    for action, score in zip(policy.actions, policy.scores(context), strict=True):
        ids = torch.as_tensor(np.concatenate([context, action]).astype(np.int64))[None]
        with torch.no_grad():
            logp = model.head(model.trunk(ids)[0]).log_softmax(-1)
        steps = range(len(context) - 1, len(context) + len(action) - 1)
        expected = sum(float(logp[i, int(ids[0, i + 1])]) for i in steps)
        assert score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("algorithm", [MC(value_start=-2.0), ILQL(value_start=-2.0)])
def test_values_are_of_the_last_token_or_summed(
    algorithm: Algorithm, checkpoint: Path, tmp_path: Path
) -> None:
    make_guided(algorithm, checkpoint, tmp_path / "guided")
    moves = list(MOVES)
    last = Reranker(tmp_path / "guided", moves)
    assert last.scores(context_of(last)).tolist() == pytest.approx([-2.0] * len(moves))
    summed = Reranker(tmp_path / "guided", moves, score="sum")
    expected = [-2.0 * len(action) for action in summed.actions]
    assert summed.scores(context_of(summed)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("support", [0.0, 0.9])
def test_probabilities_are_read_as_the_sampler_reads_them(
    checkpoint: Path, tmp_path: Path, support: float
) -> None:
    """Q-SFT: the value of a token is p / π, which is the same for all of them before training, and
    0 for tokens that the start policy does not support."""
    algorithm = QSFT(lowest=-20.0, value_start=-8.0, q_from="ratio", support=support)
    make_guided(algorithm, checkpoint, tmp_path / "guided")
    policy = Reranker(tmp_path / "guided", list(MOVES), score="sum")
    context = context_of(policy)
    model = load_causal_lm(checkpoint)
    for action, score in zip(policy.actions, policy.scores(context), strict=True):
        ids = torch.as_tensor(np.concatenate([context, action]).astype(np.int64))[None]
        with torch.no_grad():
            pi = model.head(model.trunk(ids)[0]).softmax(-1)
        rows = range(len(context) - 1, len(context) + len(action) - 1)
        kept = [float(pi[i, int(ids[0, i + 1])]) >= support * float(pi[i].max()) for i in rows]
        assert score == pytest.approx(0.6 * sum(kept), abs=1e-4)


def test_it_plays(checkpoint: Path) -> None:
    env = make("maze-fo", max_steps=5)
    policy = Reranker(checkpoint, list(MOVES))
    played = rollout(Episode(env, 1, policy.codec), policy)
    assert all(turn.action in MOVES for turn in played.turns)
    again = rollout(Episode(env, 1, policy.codec), policy)
    assert [t.action for t in played.turns] == [t.action for t in again.turns]
    drawn = Reranker(checkpoint, list(MOVES), greedy=False, seed=4)
    context = context_of(drawn)
    said = {drawn(context).ids.tobytes() for _ in range(200)}
    assert len(said) > 1  # a random policy has no favourite that strong


def test_move_accuracy_counts_shortest_ways(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Reranker(checkpoint, list(MOVES))
    env = make("maze-fo")
    grid = env.grid

    def oracle(context: np.ndarray) -> np.ndarray:
        text = policy.codec.decode(context)
        spot = text.split("at position ")[2].split(".")[0].replace(" ", "").split(",")
        best = grid.best_moves((int(spot[0]), int(spot[1])), grid.goal)
        return np.array([float(move in best) for move in MOVES])

    monkeypatch.setattr(policy, "scores", oracle)
    assert [(m.name, m.value) for m in env.diagnostics(policy.best)] == [("move_accuracy", 1.0)]
    monkeypatch.setattr(policy, "scores", lambda context: -oracle(context))
    assert [(m.name, m.value) for m in env.diagnostics(policy.best)] == [("move_accuracy", 0.0)]
    assert not make("maze-po").diagnostics(policy.best)


def test_no_actions_are_refused(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="finite set of actions"):
        Reranker(checkpoint, [])
