"""Best-of-N distillation: the choice, the states and the records, and a maze from a random walk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from grid_maze import (
    CELLS,
    GOAL,
    VOCABULARY,
    Table,
    cloned,
    critic_of_utterances,
    excess_moves,
    learn_offline,
    walks,
)

from cluster.best_actions import best_of, candidates_of, states_of
from cluster.presets.derived import derived
from learners.algorithms.offline.best_of_n import BestOfN, best_candidates
from learners.algorithms.offline.weighted_iql import WeightedIQL
from learners.collate import collate
from learners.inspection import to_rows
from learners.micro_batch import micro_batches
from learners.networks.actor_critic import Network
from learners.networks.outputs import Inputs
from learners.networks.values import ValueNetwork
from lmrl.episode import Reply, play
from lmrl.errors import DataError, UsageError
from lmrl.schema import from_table, to_table
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.trajectory import NO_IDS, TERMINATED, Trajectory, Turn


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("above_value", [True, False])
def test_the_choice_against_a_loop(seed: int, above_value: bool) -> None:
    rng = np.random.default_rng(seed)
    q = rng.integers(-3, 3, (40, 4)).astype(float)
    allowed = rng.random((40, 4)) < 0.7
    allowed[7] = False
    value = rng.integers(-3, 3, 40).astype(float)
    expected = []
    for state in range(40):
        best = -1
        for candidate in range(4):
            worse = best >= 0 and q[state, candidate] <= q[state, best]
            if not allowed[state, candidate] or worse:
                continue
            if above_value and q[state, candidate] <= value[state]:
                continue
            best = candidate
        expected.append(best)
    found = best_candidates(q, allowed, value if above_value else None)
    assert found.tolist() == expected
    assert expected[7] == -1


def test_states_are_the_contexts_that_the_policy_had(checkpoint: Path) -> None:
    codec = Codec.load(checkpoint)
    for task in ("maze-fo", "maze-po"):
        episodes = [play(make(task, max_steps=6), "random", seed, task) for seed in range(3)]
        read = [codec.read(episode).executed() for episode in episodes]
        expected = [c for e in read for c in list(e.contexts())[: len(e.turns)]]
        found = list(states_of(episodes, codec, 10**6))
        assert [s.context.tolist() for s in found] == [c.tolist() for c in expected]
    whole = max(len(s.context) for s in found)
    assert max(len(s.context) for s in states_of(episodes, codec, whole - 1)) < whole
    with pytest.raises(DataError, match="exceeds the context of 2"):
        list(states_of(episodes, codec, 2))


def test_the_best_record_keeps_what_was_sampled(checkpoint: Path) -> None:
    codec = Codec.load(checkpoint)
    state = next(states_of([play(make("maze-po"), "random", 0, "maze-po")], codec, 10**6))
    texts = ["move left\n", "move up\n", "move down", "move right\n"]  # the third one was cut
    replies = [
        Reply(ids, np.full(len(ids), -1.0, np.float32), np.zeros(len(ids), np.int32))
        for ids in map(codec.encode, texts)
    ]
    record = candidates_of(state, replies, codec, "\n")
    (stored,) = from_table(to_table([record]))
    assert [c.tolist() for c in stored.contexts()][:4] == [state.context.tolist()] * 4
    batch = collate([codec.read(stored)])
    lasts = np.flatnonzero(batch.turn_end)
    q = np.zeros(batch.actions, np.float32)
    q[lasts] = [-3.0, -1.0, 5.0, -2.0]
    values = to_rows(batch, {"q": q, "value": np.full(batch.actions, -1.5, np.float32)})
    (best,) = best_of([record], values, above_value=True)
    assert best.turns[0].action == "move up\n" and len(best.turns) == 1
    assert best.info == {"q": -1.0, "value": -1.5}
    assert best.turns[0].action_ids.tolist() == replies[1].ids.tolist()
    values = to_rows(batch, {"q": q, "value": np.full(batch.actions, 9.0, np.float32)})
    assert not list(best_of([record], values, above_value=True))
    assert len(list(best_of([record], values, above_value=False))) == 1


def test_a_critic_of_another_run_is_needed() -> None:
    exp = derived("best_of_n", "maze-fo", {})
    assert (exp.start, exp.start_critic) == ("ilql", "start")
    exp.check()
    with pytest.raises(UsageError, match=r"chooses by the critic of another run.*--start-critic"):
        replace(exp, start="bc", start_critic=None).check()
    mc = replace(exp, start="mc", algorithm=BestOfN(q_heads=1, above_value=False))
    mc.check()
    with pytest.raises(UsageError, match="has no V head"):
        replace(mc, algorithm=BestOfN(q_heads=1)).check()


def candidates(net: Network) -> list[Trajectory]:
    """Return the best of 8 sampled moves in each cell, as the critic values them."""
    rng = np.random.default_rng(0)
    p = cloned().table.detach().softmax(-1).double().numpy()
    records = []
    for cell in [cell for cell in CELLS if cell != GOAL for _ in range(8)]:
        turns = []
        for _ in range(8):
            ids = [int(rng.choice(VOCABULARY, p=p[cell, s] / p[cell, s].sum())) for s in (0, 1)]
            action, seen = np.array(ids, np.int32), np.array([cell], np.int32)
            none = np.zeros(2, np.float32)
            turns.append(Turn("", seen, 1, "", action, none, action * 0, 0.0))
        records.append(Trajectory("grid", {}, cell, tuple(turns), TERMINATED, "", NO_IDS, 1))
    batch = collate(records)
    (micro,) = micro_batches(batch, None, 10**9)
    with torch.no_grad():
        out = net(Inputs.of(micro))
    assert out.q is not None
    values = to_rows(batch, {"q": out.q.min(0).values.numpy(), "value": out.value.numpy()})
    return list(best_of(records, values, above_value=True))


def test_it_solves_a_maze_from_a_random_walk() -> None:
    torch.manual_seed(0)
    critic = critic_of_utterances()
    learner = WeightedIQL(
        tau=0.9, gamma=0.9, polyak=0.2, value_scale=5.0, value_start=-10.0, critic_updates=400
    )
    learn_offline(learner, walks(), Network(cloned(), utterances=critic), 300, 0.05)
    net = Network(cloned(), utterances=critic, frozen_critic=True)
    before = [parameter.clone() for parameter in critic.parameters()]
    data = candidates(net)
    assert excess_moves(net.policy) > 5.0
    policy: Any = learn_offline(BestOfN(), data, net, 100, 0.1)
    assert excess_moves(policy) < 0.8
    assert all(torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


def test_a_frozen_critic_is_computed_without_gradients_only() -> None:
    critic = ValueNetwork(Table(8), 2, 8, VOCABULARY, -3.0, "linear", 1.0, True, False)
    net = Network(cloned(), utterances=critic, frozen_critic=True)
    (micro,) = micro_batches(collate(walks()[:2]), None, 10**9)
    assert net(Inputs.of(micro)).q is None
    with torch.no_grad():
        out = net(Inputs.of(micro))
    assert out.q is not None and out.value.eq(-3.0).all()
