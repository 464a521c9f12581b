"""Every online algorithm has to solve a small maze, in this process and with a tabular policy."""

from typing import Any

import numpy as np
import pytest
import torch
from grid_maze import (
    CELLS,
    GOAL,
    Table,
    cloned,
    critic_of_utterances,
    excess_moves,
    outputs,
    play,
    step,
)
from rounds import Alone
from torch import nn

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
from learners.collate import collate
from learners.networks.actor_critic import Network
from learners.networks.heads import Head
from learners.networks.target import target_of


def network(algorithm: OnPolicy) -> Network:
    """Return a policy with the critic that the algorithm has."""
    torch.manual_seed(0)
    if isinstance(algorithm, ArCHer):
        return Network(cloned(), utterances=critic_of_utterances())
    if isinstance(algorithm, PPO | TurnPPO):
        trunk = Table(32)
        nn.init.normal_(trunk.table)
        return Network(cloned(), trunk, Head(32, 1, -1.0, "linear"), 10.0)
    return Network(cloned(), entropy_gradient=algorithm.entropy_coef > 0)


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
            columns, _, after = algorithm.prepare(batch, old, Alone(), {**state, "epoch": epoch})
            parts = algorithm.minibatches(batch.segments)
            for segments in np.array_split(rng.permutation(batch.segments), parts):
                step(algorithm, net, target, optimiser, batch, segments, columns)
        state = after
    return net


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
