"""A group of ranks with unequal loads learns what one rank learns, at every ZeRO stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import run_ranks

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROGRAM = """
import json, sys
from dataclasses import replace
import numpy as np
from learners.algorithms.offline.bc import BC
from learners.algorithms.offline.sarsa import ConservativeSARSA
from learners.config import OptimiserConfig
from learners.algorithms.offline.filtered_bc import OnlineFilteredBC
from learners.algorithms.offline.ilql import ILQL, OnlineILQL
from learners.learner import Learner
from learners.config import LearnerConfig
from learners.algorithms.offline.mc import MC
from learners.algorithms.online.archer import ArCHer
from learners.algorithms.online.gigpo import GiGPO
from learners.algorithms.online.grpo import GRPO
from learners.algorithms.online.gspo import GSPO
from learners.algorithms.online.ppo import PPO
from learners.algorithms.online.reinforce import Reinforce
from learners.algorithms.offline.qsft import QSFT
from learners.algorithms.offline.rwr import RWR
from learners.algorithms.offline.weighted_iql import WeightedIQL
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

checkpoint, out, folder, port, rank, world = sys.argv[1:]
env = make("maze-po", max_steps=6)
episodes = [play(env, "random", seed, "maze-po") for seed in range(3)]
one = to_table(episodes[:1])
uneven = to_table(episodes)
# Two groups of two episodes and one of one; the first rank gets more of them than the second.
grouped = to_table(episodes + [play(env, "optimal", seed, "maze-po") for seed in range(2)])
ARCHER = ArCHer(kl_coef=0.1, minibatch=0, warmup=0, epochs=2, critic_epochs=1)
PPO_ = PPO(kl_coef=0.1, epochs=2, minibatch=0, kl_stop=None, value_scale=10.0)
empty = {
    "bc": BC(observation_weight=0.5),
    "ppo": replace(PPO_, bc_coef=0.3),
    "mc": MC(value_start=-5.0, cql_weight=0.1),
    "ilql": ILQL(value_start=-5.0, cql_weight=0.1, polyak=0.5),
}
cases = {f"{name} {z}": (one, algorithm, z) for name, algorithm in empty.items() for z in range(4)}
cases |= {
    "online_ilql 0": (one, OnlineILQL(minibatch=1, epochs=1), 0),
    "sarsa 0": (one, ConservativeSARSA(value_start=-5.0), 0),
    "qsft 0": (one, QSFT(lowest=-20.0), 0),
    "uneven_ppo 3": (uneven, PPO_, 3),
    "uneven_td 3": (uneven, ILQL(lam=0.5, value_start=-5.0), 3),
    "uneven_qsft 3": (uneven, QSFT(lowest=-20.0), 3),
    "none_chosen 0": (uneven, OnlineFilteredBC(share=0.1), 0),
    "one_chosen 0": (uneven, OnlineFilteredBC(share=0.4), 0),
    "uneven_archer 3": (uneven, ARCHER, 3),
    "archer 0": (one, replace(ARCHER, epochs=1, critic_epochs=0), 0),
    "weighted_iql 0": (one, WeightedIQL(kl_coef=0.1, near_end=1.0), 0),
    "rwr 0": (uneven, RWR(temperature=3.0, observation_weight=0.5), 0),
    "reinforce 0": (uneven, Reinforce(mean_over="episode", entropy_coef=0.1), 0),
    "grpo 3": (grouped, GRPO(minibatch=0, skip_equal=True, entropy_coef=0.1), 3),
    "gspo 0": (grouped, GSPO(minibatch=0, kl_stop=None), 0),
    "gigpo 0": (grouped, GiGPO(minibatch=0, kl_in="reward", kl_estimator="k1"), 0),
    "no_episodes 0": (uneven.slice(0, 0), PPO_, 0),
}
if world == "1":  # what the other stages have to agree with
    cases = {name[:-1] + "0": (table, a, 0) for name, (table, a, _) in cases.items()}
weights, metrics = {}, {}
for name, (table, algorithm, zero) in cases.items():
    config = LearnerConfig(
        # A large epsilon: Adam turns rounding of near-zero gradients into whole steps.
        optimiser=OptimiserConfig(lr=1e-2, head_lr=1e-2, zero=zero, eps=1e-1, zero_whole=0),
        micro_tokens=200, threads=1,
    )
    learner = Learner(
        algorithm, config, checkpoint, 56, rank=int(rank), world=int(world), port=int(port)
    )
    if hasattr(learner.engine.network, "per_token"):
        learner.engine.network.per_token.chunk = 4
    extra = [one] if algorithm.bc_coef else None
    got = [learner.update([table], extra) for _ in range(2)][-1]
    if name == "mc 2":
        own = learner.rng.bit_generator.state
        learner.save(folder)
        learner.rng.random()
        learner.load(folder)
        assert learner.rng.bit_generator.state == own, "the generator of another rank"
    metrics[name] = {k: v for k, v in got.items() if not k.endswith(("seconds", "per_s"))}
    weights[name] = np.concatenate([
        t.double().cpu().numpy().ravel() for _, t in learner.engine.named_weights()
    ])
    learner.engine.engine.destroy()
if rank == "0":
    np.savez(out, **weights)
    print(json.dumps(metrics))
"""


def group(checkpoint: Path, out: Path, world: int) -> tuple[Any, dict[str, dict[str, float]]]:
    """Run every case on a group of ranks; return the weights and the metrics of each case."""
    printed = run_ranks(PROGRAM, checkpoint, out, out.parent, world=world, timeout=140)
    return np.load(out), json.loads(printed.splitlines()[-1])


def test_ranks_with_unequal_loads_learn_what_one_rank_learns(
    checkpoint: Path, tmp_path: Path
) -> None:
    """`empty`: the second rank has no episode. `uneven`: ranks have different numbers of states,
    and so of chunks, while ZeRO 3 gathers every parameter."""
    expected, alone = group(checkpoint, tmp_path / "one.npz", 1)
    found, together = group(checkpoint, tmp_path / "two.npz", 2)
    for name in together:
        plain = name[:-1] + "0"
        np.testing.assert_allclose(found[name], expected[plain], rtol=0, atol=1e-6, err_msg=name)
        for key, value in alone[plain].items():
            if key != "distinct_rows":
                assert together[name][key] == pytest.approx(value, rel=1e-4, abs=1e-5), (name, key)
    assert alone["none_chosen 0"]["optimiser_steps"] == alone["no_episodes 0"]["episodes"] == 0
    assert alone["one_chosen 0"]["episodes"] == 1
