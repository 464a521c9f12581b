"""One DeepSpeed rank under plain pytest: accumulation, schedules, checkpoints, weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from ranks import run_ranks

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROGRAM = """
import json, sys
from dataclasses import replace
import numpy as np
from learners.algorithms.offline.bc import BC
from learners.config import OptimiserConfig
from learners.learner import Learner
from learners.config import LearnerConfig
from learners.algorithms.online.ppo import PPO
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

checkpoint, out, zero, budget, port, rank, world = sys.argv[1:8]
config = LearnerConfig(
    # A large epsilon: Adam turns rounding of near-zero gradients into whole steps.
    optimiser=OptimiserConfig(lr=1e-2, zero=int(zero), clip=0.5, warmup=2, eps=1e-3),
    micro_tokens=int(budget), threads=1,
)
algorithm = PPO(kl_coef=0.1, epochs=2, minibatch=0, kl_stop=None, value_scale=10.0)
learner = Learner(
    algorithm, config, checkpoint, 56, rank=int(rank), world=int(world), port=int(port)
)
env = make("maze-fo", max_steps=9)
table = to_table([play(env, "random", seed, "maze-fo") for seed in range(10)])
metrics = [learner.update([table]) for _ in range(2)]
weights = {name: t.double().sum().item() for name, t in learner.engine.named_weights()}
full = np.concatenate([t.float().cpu().numpy().ravel() for _, t in learner.engine.named_weights()])
bucket_names = [m.name for b in learner.engine.buckets(50_000) for m in b.metas]
if learner.group.rank == 0:
    np.save(out, full)
    print(json.dumps({"metrics": metrics, "names": bucket_names, "weights": list(weights)}))
"""


def learn(
    checkpoint: Path, out: Path, zero: int, budget: int = 10**6, world: int = 1
) -> tuple[np.ndarray, dict]:
    """Run two PPO updates in processes of their own; return weights and what rank 0 printed."""
    printed = run_ranks(PROGRAM, checkpoint, out, zero, budget, world=world)
    return np.load(out), json.loads(printed.splitlines()[-1])


@pytest.fixture(scope="module")
def plain(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, dict]:
    return learn(checkpoint, tmp_path_factory.mktemp("plain") / "w.npy", zero=0)


@pytest.mark.parametrize(
    ("zero", "budget", "world"), [(0, 400, 1), (2, 400, 1), (2, 400, 2), (3, 10**6, 2)]
)
def test_micro_batches_stages_and_ranks_do_not_change_the_result(
    checkpoint: Path,
    plain: tuple[np.ndarray, dict],
    tmp_path: Path,
    zero: int,
    budget: int,
    world: int,
) -> None:
    weights, report = learn(checkpoint, tmp_path / "w.npy", zero, budget, world)
    expected, first = plain
    assert np.abs(weights - expected).max() < 2e-4
    for ours, theirs in zip(report["metrics"], first["metrics"], strict=True):
        for key in ("loss", "policy_loss", "value_loss", "grad_norm", "kl_to_start", "tokens"):
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=2e-4), key
    assert report["names"] == report["weights"]
    # Tied to the input embedding: sent once, as a checkpoint's file holds it.
    assert "transformer.wte.weight" in report["names"]
    assert "lm_head.weight" not in report["names"]


def test_a_checkpoint_brings_everything_back(checkpoint: Path, tmp_path: Path) -> None:
    """Weights, optimiser, order of minibatches: the next update is the one without the break."""
    program = """
from ranks import free_port
import sys
import numpy as np
from learners.config import OptimiserConfig
from learners.learner import Learner
from learners.config import LearnerConfig
from learners.algorithms.online.ppo import PPO
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table
from transformers import AutoModelForCausalLM
import torch

checkpoint, folder = sys.argv[1:3]
env = make("maze-fo", max_steps=9)
tables = [
    to_table([play(env, "random", 10 * k + i, "maze-fo") for i in range(10)]) for k in range(3)
]
algorithm = PPO(kl_coef=0.1, kl_target=0.01, epochs=2, minibatch=20)
def fresh(port):
    config = LearnerConfig(optimiser=OptimiserConfig(lr=1e-2), threads=1)
    return Learner(algorithm, config, checkpoint, 56, port=port)
learner = fresh(free_port())
for table in tables[:2]:
    learner.update([table])
learner.save(folder)
state = dict(learner.state)
expected = learner.update([tables[2]])
saved = AutoModelForCausalLM.from_pretrained(folder)
learner.load(folder)
assert learner.state == state
for (name, ours), theirs in zip(learner.engine.named_weights(), saved.state_dict().values()):
    assert torch.equal(ours, theirs), name
got = learner.update([tables[2]])
for key in ("loss", "grad_norm", "approx_kl", "kl_coef", "lr"):
    assert abs(got[key] - expected[key]) < 1e-6, (key, got[key], expected[key])
print("same")
"""
    folder = tmp_path / "saved"
    folder.mkdir()
    assert run_ranks(program, checkpoint, folder).endswith("same")
    assert {"config.json", "model.safetensors", "tokenizer.json", "deepspeed"} <= {
        path.name for path in folder.iterdir()
    }


def test_a_group_stays_on_one_rank() -> None:
    from learners.process_group import group_shares

    rng = np.random.default_rng(0)
    lengths, groups = rng.integers(1, 40, 60), rng.integers(0, 12, 60)
    dealt = group_shares(lengths, groups, 4)
    assert sorted(i for part in dealt for i in part) == list(range(60))
    assert all(part == sorted(part) for part in dealt)
    owners = [{rank for rank, part in enumerate(dealt) if g in groups[part]} for g in range(12)]
    assert all(len(ranks) == 1 for ranks in owners)
    loads = [int(lengths[part].sum()) for part in dealt]
    assert max(loads) < 1.5 * min(loads)
    assert group_shares(lengths[:0], groups[:0], 2) == [[], []]


def test_shares_are_balanced_and_complete() -> None:
    from learners.process_group import shares

    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, size=37)
    dealt = shares(lengths, 4)
    assert sorted(i for part in dealt for i in part) == list(range(37))
    loads = [lengths[part].sum() for part in dealt]
    assert max(loads) - min(loads) <= 100


def test_a_separate_critic_and_a_cloning_term_train(checkpoint: Path) -> None:
    """The critic has its own trunk; cloning pulls the policy to the data and leaves the critic."""
    program = """
from ranks import free_port
import sys
import torch
from learners.config import OptimiserConfig
from learners.learner import Learner
from learners.config import LearnerConfig
from learners.algorithms.online.ppo import PPO
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

env = make("maze-fo", max_steps=9)
fresh = to_table([play(env, "random", seed, "maze-fo") for seed in range(8)])
data = to_table([play(env, "optimal", seed, "maze-fo") for seed in range(50, 58)])
algorithm = PPO(
    critic="trunk", bc_coef=1.0, epochs=2, minibatch=0, value_scale=5.0, kl_coef=0.0, kl_stop=None
)
config = LearnerConfig(optimiser=OptimiserConfig(lr=2e-3), threads=1)
learner = Learner(algorithm, config, sys.argv[1], 56, port=free_port())
collate, sizes = learner._collate, []
def counted(tables):
    sizes.append(sum(table.num_rows for table in tables))
    return collate(tables)
learner._collate = counted
learner.update([fresh], [data, data.slice(3)])
assert sizes == [8, 8, 5], sizes  # a table for each of the two optimiser steps
learner._collate = collate
network = learner.engine.network
critic = {n: p.detach().clone() for n, p in network.critic.named_parameters()}
policy = {n: p.detach().clone() for n, p in network.policy.named_parameters()}
metrics = [learner.update([fresh], [data]) for _ in range(10)]
assert metrics[-1]["bc_loss"] < 0.7 * metrics[0]["bc_loss"], [m["bc_loss"] for m in metrics]
for before, now in ((critic, network.critic), (policy, network.policy)):
    assert any(not torch.equal(p, before[n]) for n, p in now.named_parameters())
print("trained")
"""
    assert run_ranks(program, checkpoint).endswith("trained")


def test_bfloat16_keeps_weights_heads_and_the_optimiser_in_float32(checkpoint: Path) -> None:
    """At every ZeRO stage alike; stage 0 used to begin with Adam's second step."""
    program = """
from ranks import free_port
import sys
import numpy as np
import torch
from learners.config import OptimiserConfig
from learners.algorithms.offline.ilql import ILQL
from learners.learner import Learner
from learners.config import LearnerConfig
from learners.networks.heads import Head
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

table = to_table([play(make("maze-fo", max_steps=6), "random", s, "maze-fo") for s in range(6)])
found = []
for zero, dtype in ((0, "bfloat16"), (1, "bfloat16"), (3, "bfloat16"), (0, "float32")):
    optimiser = OptimiserConfig(lr=1e-2, eps=1e-1, zero=zero, zero_whole=0, dtype=dtype)
    config = LearnerConfig(optimiser=optimiser, micro_tokens=150, threads=1)
    algorithm = ILQL(value_start=-20.0, cql_weight=0.1, polyak=0.5)
    learner = Learner(algorithm, config, sys.argv[1], 56, port=free_port())
    kinds = []
    step = learner.engine.step
    def watched():
        grads = [p.grad for p in learner.engine.network.parameters()]
        kinds.extend(grad.dtype for grad in grads if grad is not None)
        return step()
    learner.engine.step = watched
    loss = [learner.update([table])["loss"] for _ in range(2)][-1]
    assert zero or set(kinds) == {torch.float32}
    optimiser = learner.engine.optimiser
    states = getattr(optimiser, "optimizer", optimiser).state.values()
    assert {float(s["step"]) for s in states} == {2.0}, zero
    assert {s["exp_avg"].dtype for s in states} == {torch.float32}
    weights = dict(learner.engine.named_weights())
    assert {t.dtype for t in weights.values()} == {torch.float32}
    assert {p.dtype for p in learner.target.network.parameters()} == {torch.float32}
    flat = np.concatenate([t.cpu().numpy().ravel() for t in weights.values()])
    found.append((loss, flat))
    learner.engine.engine.destroy()
for loss, flat in found[1:3]:
    assert abs(loss - found[0][0]) < 1e-4 * abs(loss) and np.abs(flat - found[0][1]).max() < 1e-4
gap = abs(found[3][0] - found[0][0]) / found[3][0]
assert 0.0 < gap < 1e-3, gap  # rounded, and no more than that
torch.set_default_dtype(torch.bfloat16)  # as the sampler's engine builds its model
assert {p.dtype for p in Head(4, 9, -20.0, "mlp", 5.0).parameters()} == {torch.float32}
print("float32")
"""
    assert run_ranks(program, checkpoint).endswith("float32")


def test_cut_episodes_bootstrap_in_one_pass_as_in_many(checkpoint: Path) -> None:
    """A value function that says -20 everywhere gives the target -20 after every cut, whether the
    state after the cut is in the same pass, in another one, or was asked beforehand."""
    program = """
from ranks import free_port
import sys
from dataclasses import replace
from learners.config import OptimiserConfig
from learners.algorithms.offline.ilql import ILQL
from learners.learner import Learner
from learners.config import LearnerConfig
from learners.algorithms.offline.qsft import QSFT
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

env = make("maze-fo", max_steps=9)
played = [play(env, "random", seed, "maze-fo") for seed in range(20)]
table = to_table([episode for episode in played if episode.ending == "truncated"][:10])
assert table.num_rows == 10
algorithms = [
    (ILQL(gamma=0.95, value_start=-20.0), "y", -20.0),
    (QSFT(gamma=0.95, lowest=-40.0, value_start=-20.0, support=0.5), "w", 0.5),
]
for algorithm, metric, expected in algorithms:
    for budget in (10**6, 200):
        learner = Learner(algorithm, LearnerConfig(micro_tokens=budget, threads=1), sys.argv[1], 56,
                          port=free_port())
        found = learner.update([table])[metric]
        assert abs(found - expected) < 1e-3 * abs(expected), (algorithm.name, budget, found)
# Values that bootstraps use are as new in every epoch, in one pass and in many.
algorithm = ILQL(gamma=0.95, value_start=-20.0, polyak=0.5, epochs=6)
config = LearnerConfig(optimiser=OptimiserConfig(lr=1e-2, eps=1e-3), threads=1)
first, second = (
    Learner(algorithm, replace(config, micro_tokens=budget), sys.argv[1], 56, port=free_port())
    .update([table])["y"]
    for budget in (10**6, 200)
)
assert abs(first + 20.0) > 0.02 and abs(first - second) < 1e-4, (first, second)
print("same")
"""
    assert run_ranks(program, checkpoint).endswith("same")
