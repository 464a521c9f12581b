"""A small maze with a tabular policy, which algorithms have to solve in a second or two."""

from typing import Any

import numpy as np
import torch
from rounds import Alone
from torch import Tensor, nn

from learners.algorithms.base import Algorithm, OldOutputs
from learners.batch import Batch
from learners.collate import collate
from learners.micro_batch import micro_batches
from learners.networks.actor_critic import Network
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

    def trunk(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
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


def walks() -> list[Trajectory]:
    """Return episodes of a random walk, which hardly ever takes a shortest way."""
    rng = np.random.default_rng(0)
    starts = [cell for cell in CELLS if cell != GOAL]
    return [play(cloned(), int(rng.choice(starts)), rng) for _ in range(400)]


def step(
    algorithm: Algorithm,
    net: Network,
    target: Target | None,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    segments: Any,
    columns: Any,
) -> None:
    """Make one optimiser step on some segments of a batch; None is all of them."""
    (micro,) = micro_batches(batch, segments, 10**9, bootstraps=False)
    targets = {
        name: torch.as_tensor(column, dtype=torch.float32)[micro.entry]
        for name, column in columns.items()
    }
    found = algorithm.loss(net(Inputs.of(micro)), targets, float(len(micro.entry)))
    optimiser.zero_grad()
    found.loss.backward()
    optimiser.step()
    if target is not None:
        assert net.utterances is not None
        target.follow(net.utterances)


def critic_of_utterances() -> ValueNetwork:
    """Return a critic with Q heads and a V head on a random table of its own."""
    trunk = Table(32)
    critic = ValueNetwork(trunk, 2, 32, VOCABULARY, -10.0, "linear", 5.0, True, False)
    nn.init.normal_(trunk.table)
    return critic


def learn_offline(
    algorithm: Algorithm, data: list[Trajectory], net: Network, updates: int, lr: float
) -> Any:
    """Return the policy after so many updates on a data set."""
    rng = np.random.default_rng(0)
    target = target_of(net, algorithm.target_config)
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr)
    state = algorithm.start_state()
    for _ in range(updates):
        batch = collate([data[i] for i in rng.integers(len(data), size=64)])
        columns, _, state = algorithm.prepare(batch, outputs(net, target, batch), Alone(), state)
        step(algorithm, net, target, optimiser, batch, None, columns)
    return net.policy
