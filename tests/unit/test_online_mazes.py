"""Every online algorithm has to solve a small maze, in this process and with a tabular policy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from learners.algorithms.base import OldOutputs
from learners.algorithms.online.archer import ArCHer
from learners.algorithms.online.gigpo import GiGPO
from learners.algorithms.online.grpo import GRPO, DrGRPO
from learners.algorithms.online.gspo import GSPO
from learners.algorithms.online.on_policy import OnPolicy
from learners.algorithms.online.ppo import PPO
from learners.algorithms.online.reinforce import Reinforce
from learners.algorithms.online.rloo import RLOO
from learners.algorithms.online.turn_ppo import TurnPPO
from learners.batch import Batch
from learners.collate import collate
from learners.micro_batch import micro_batches
from learners.networks.actor_critic import Network, ValueHead
from learners.networks.outputs import Inputs
from learners.networks.target import Target, target_of
from learners.networks.values import ValueNetwork
from lmrl.trajectory import TERMINATED, TRUNCATED, Trajectory, Turn

WIDTH, HEIGHT, LONGEST = 4, 3, 15
GOAL = 0
WALLS = {5, 6}
"""Cells of a grid of 4 x 3; the way from the far side leads around the wall."""
CELLS = [cell for cell in range(WIDTH * HEIGHT) if cell not in WALLS]
MOVE, UP, RIGHT, DOWN, LEFT = 12, 13, 14, 15, 16
STEPS = {UP: (0, -1), RIGHT: (1, 0), DOWN: (0, 1), LEFT: (-1, 0)}
VOCABULARY = 17


def moved(cell: int, token: int) -> int:
    """Return the cell after a move; a wall or another token changes nothing."""
    x, y = cell % WIDTH, cell // WIDTH
    dx, dy = STEPS.get(token, (0, 0))
    to = (y + dy) * WIDTH + x + dx
    inside = 0 <= x + dx < WIDTH and 0 <= y + dy < HEIGHT
    return to if inside and to not in WALLS else cell


def distances() -> dict[int, int]:
    """Return the length of the shortest way from each cell to the goal."""
    found = {GOAL: 0}
    while len(found) < len(CELLS):
        for cell in CELLS:
            near = [found[moved(cell, t)] for t in STEPS if moved(cell, t) in found]
            if near and cell not in found:
                found[cell] = min(near) + 1
    return found


class Table(nn.Module):
    """A "language model" with free outputs for each cell, without and with the word MOVE."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(VOCABULARY, 2, width))

    def trunk(self, tokens: Tensor) -> Tensor:
        """Return `[R, T, width]`; the state before the end of a row is not used."""
        stage = torch.arange(tokens.shape[1]).clamp(max=1)
        return self.table[tokens[:, :1], stage[None]]

    def head(self, states: Tensor) -> Tensor:
        """Return the logits, which the states themselves are."""
        return states


def cloned() -> Table:
    """Return a policy that knows the words and walks at random."""
    table = Table(VOCABULARY)
    with torch.no_grad():
        table.table[:, 0, MOVE] = 5.0
        table.table[:, 1, UP:] = 3.0
    return table


def network(algorithm: OnPolicy) -> Network:
    """Return a policy with the critic that the algorithm has."""
    torch.manual_seed(0)
    if isinstance(algorithm, ArCHer):
        critic = ValueNetwork(Table(32), 2, 32, VOCABULARY, -10.0, "linear", 5.0, True, False)
        nn.init.normal_(critic.trunk.table)  # type: ignore[arg-type]
        return Network(cloned(), utterances=critic)
    if isinstance(algorithm, PPO | TurnPPO):
        trunk = Table(32)
        nn.init.normal_(trunk.table)
        return Network(cloned(), trunk, ValueHead(32, -1.0), 10.0)
    return Network(cloned(), entropy_gradient=algorithm.entropy_coef > 0)


def play(policy: Table, start: int, rng: np.random.Generator) -> Trajectory:
    """Return an episode from a cell; each move costs 1."""
    probabilities = policy.table.detach().softmax(-1).double().numpy()
    cell = start
    turns: list[Turn] = []
    while cell != GOAL and len(turns) < LONGEST:
        ids = []
        for stage in (0, 1):
            p = probabilities[cell, stage]
            ids.append(int(rng.choice(VOCABULARY, p=p / p.sum())))
        logprobs = [np.log(probabilities[cell, stage, ids[stage]]) for stage in (0, 1)]
        observation = np.array([cell], np.int32)
        action = np.array(ids, np.int32)
        turns.append(
            Turn("", observation, 1, "", action, np.array(logprobs, np.float32), action * 0, -1.0)
        )
        cell = moved(cell, ids[1]) if ids[0] == MOVE else cell
    ending = TERMINATED if cell == GOAL else TRUNCATED
    return Trajectory("grid", {}, start, tuple(turns), ending, "", np.array([cell], np.int32), 1)


class Alone:
    """One rank."""

    def total(self, *values: float) -> list[float]:
        return [float(v) for v in values]


@torch.no_grad()
def outputs(net: Network, target: Target | None, batch: Batch) -> OldOutputs:
    """Return what a learner evaluates before the first step."""
    (micro,) = micro_batches(batch, budget=10**9)
    out = net(Inputs.of(micro))
    value, q = out.value, np.zeros((0, batch.entries))
    if target is not None:
        assert net.utterances is not None
        slow = target.values(Inputs.of(micro), net.utterances)
        value, q = slow.v, slow.q.numpy()
    n = batch.actions
    return OldOutputs(out.logprob[:n].numpy(), value.numpy(), np.zeros(n), q)


def train(algorithm: OnPolicy, updates: int, lr: float) -> Network:
    """Return a network after so many rounds of a few hundred turns."""
    rng = np.random.default_rng(0)
    net = network(algorithm)
    target = target_of(net, algorithm.target_config)
    own = list(net.policy.parameters())
    critic = [p for p in net.parameters() if all(p is not q for q in own)]
    # The critic has to be ahead of the policy.
    optimiser = torch.optim.Adam([{"params": own, "lr": lr}, {"params": critic, "lr": 0.1}])
    state = algorithm.start_state()
    starts = [cell for cell in CELLS if cell != GOAL]
    policy: Any = net.policy
    for _ in range(updates):
        cells = rng.choice(starts, 48 // algorithm.group)
        groups = np.repeat(np.arange(len(cells)), algorithm.group)
        episodes = [play(policy, int(cells[g]), rng) for g in groups]
        batch = collate(episodes, groups=groups)
        old = outputs(net, target, batch)
        for epoch in range(algorithm.epochs):
            if epoch and target is not None:
                again = outputs(net, target, batch)
                old = OldOutputs(old.logprob, again.value, old.reference, again.target_q)
            columns, _, after = algorithm.prepare(batch, old, Alone(), state)
            tensors = {n: torch.as_tensor(c, dtype=torch.float32) for n, c in columns.items()}
            parts = algorithm.minibatches(batch.segments)
            for segments in np.array_split(rng.permutation(batch.segments), parts):
                (micro,) = micro_batches(batch, segments, 10**9, bootstraps=False)
                targets = {name: column[micro.entry] for name, column in tensors.items()}
                found = algorithm.loss(net(Inputs.of(micro)), targets, float(len(micro.entry)))
                optimiser.zero_grad()
                found.loss.backward()
                optimiser.step()
                if target is not None:
                    assert net.utterances is not None
                    target.follow(net.utterances)
        state = after
    return net


def excess_moves(policy: Table) -> float:
    """Return the mean number of moves beyond the shortest way, over all starts."""
    rng = np.random.default_rng(1)
    return float(
        np.mean(
            [
                len(play(policy, cell, rng).turns) - away
                for cell, away in distances().items()
                for _ in range(20 * (cell != GOAL))
            ]
        )
    )


CASES: dict[str, tuple[OnPolicy, int, float]] = {
    "ppo": (PPO(value_scale=10.0, kl_coef=0.0, minibatch=128), 25, 0.1),
    "turn_ppo": (TurnPPO(value_scale=10.0, kl_coef=0.0, minibatch=128), 25, 0.1),
    "reinforce": (Reinforce(kl_coef=0.0), 60, 0.2),
    "rloo": (RLOO(kl_coef=0.0), 60, 0.2),
    "grpo": (GRPO(kl_coef=0.0, minibatch=128), 30, 0.1),
    "dr_grpo": (DrGRPO(epochs=2, minibatch=0), 50, 0.1),
    "gspo": (GSPO(kl_coef=0.0, epochs=2, minibatch=0), 50, 0.1),
    "gigpo": (GiGPO(kl_coef=0.0, minibatch=128), 25, 0.1),
    "archer": (
        ArCHer(
            gamma=0.9,
            polyak=0.3,
            value_scale=5.0,
            value_start=-10.0,
            warmup=5,
            kl_coef=0.0,
            minibatch=128,
        ),
        50,
        0.02,
    ),
}
"""Algorithm, number of rounds, learning rate of the policy."""


@pytest.mark.parametrize("name", CASES)
def test_a_small_maze_is_solved(name: str) -> None:
    net = train(*CASES[name])
    policy: Any = net.policy
    assert excess_moves(policy) < 0.8


def test_the_start_policy_does_not_solve_it() -> None:
    assert excess_moves(cloned()) > 5.0
