"""What is learned with the critic of an offline run: online PPO, and best-of-N distillation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from ranks import run_ranks

from learners.algorithms.online.ppo import PPO
from learners.checkpoints.critic import take_critic
from learners.networks.causal_lm import load_causal_lm
from lmrl.cli import main
from lmrl.data.store import load
from lmrl.tokens.codec import Codec

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SMALL = [
    "--options", '{"max_steps": 12}', "--evaluation.episodes", "8", "--evaluation.random", "false",
    "--evaluation.start-episodes", "0", "--learner.inspected", "8",
]  # fmt: skip


def run(name: str, folder: Path, policy: Path, *fields: str) -> list[dict[str, Any]]:
    """Train, and return the metrics of each update."""
    call = ["train", name, "--run-dir", str(folder), "--model.path", str(policy), *SMALL, *fields]
    assert main(call) == 0
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def clone(local_ray: None, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that knows the moves."""
    folder = tmp_path_factory.mktemp("clone") / "run"
    run("maze-fo-bc", folder, checkpoint, "--updates", "60", "--data.episodes", "150")
    return folder / "checkpoints" / "last"


@pytest.fixture(scope="module")
def offline(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of ILQL on episodes of a small maze."""
    folder = tmp_path_factory.mktemp("offline") / "run"
    sizes = ("--updates", "60", "--data.episodes", "150", "--algorithm.mc-updates", "60")
    run("maze-fo-ilql", folder, clone, *sizes)
    return folder / "checkpoints" / "last"


def first_values(folder: Path, name: str) -> dict[int, float]:
    """Return the value of the first state of each evaluation episode, by its seed."""
    home = folder / "trajectories"
    seeds = pq.read_table(home / "evaluation" / f"{name}.parquet")["seed"].to_pylist()
    table = pq.read_table(home / "learner" / f"evaluation-{name}.parquet")
    rows, values = table["row"].to_pylist(), table["value"].to_pylist()
    return {seeds[row]: value[0] for row, value in zip(rows, values, strict=True)}


def test_ppo_goes_on_with_the_values_of_ilql(offline: Path, clone: Path, tmp_path: Path) -> None:
    fields = (
        "--updates", "1", "--rollouts.turns", "160", "--rollouts.min-episodes", "16",
        "--algorithm.critic", "trunk", "--algorithm.head", "mlp",
        "--learner.optimiser.lr", "1e-9", "--learner.optimiser.head-lr", "1e-9",
    )  # fmt: skip
    before = first_values(offline.parent.parent, "ilql-00060")
    assert len(before) == 8 and np.std(list(before.values())) > 0.01
    for name, more in (("new", ()), ("taken", ("--start-critic", str(offline)))):
        run("maze-fo-ppo", tmp_path / name, clone, *fields, *more)
    # The steps are too small to change a value.
    assert first_values(tmp_path / "taken", "ppo-00001") == pytest.approx(before, abs=1e-3)
    assert set(first_values(tmp_path / "new", "ppo-00001").values()) == {-30.0}
    kept = json.loads((tmp_path / "taken/checkpoints/last/critic/critic.json").read_text())
    assert kept["trunk"] and kept["q_heads"] == 0 and kept["head"] == "mlp"


def test_the_best_sampled_actions_are_cloned(offline: Path, clone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fields = (
        "--data.path", str(offline.parent.parent / "data"), "--data.batch", "16",
        "--start-critic", str(offline), "--algorithm.states", "100", "--algorithm.candidates", "6",
        "--updates", "4", "--save-every", "2",
    )  # fmt: skip
    found = run("maze-fo-bc", folder, clone, "--algorithm", "best_of_n", *fields)
    assert found[-1]["train/action_nll"] < found[0]["train/action_nll"]
    codec = Codec.load(clone)
    records = list(load(folder / "best_actions"))
    assert 0 < len(records) <= 100
    for record in records:
        (turn,) = record.turns
        assert record.info["q"] > record.info["value"]
        assert (turn.versions == 0).all() and not turn.cut
        assert codec.decode(turn.action_ids).startswith(turn.action.strip("\n"))


SHARDED = """
import sys
from pathlib import Path
from learners.algorithms.online.ppo import PPO
from learners.config import LearnerConfig, OptimiserConfig
from learners.learner import Learner

checkpoint, folder, port, rank, world = sys.argv[1:]
config = LearnerConfig(optimiser=OptimiserConfig(zero=3, zero_whole=0), threads=1)
algorithm = PPO(critic="trunk", value_start=-3.0, kl_coef=0.0)
learner = Learner(algorithm, config, checkpoint, 56, int(rank), int(world), port=int(port))
if rank == "0":
    Path(folder).mkdir()
learner.group.total(0.0)  # both wait for the folder
learner.save(folder)
"""


def test_a_sharded_critic_is_written_whole(checkpoint: Path, tmp_path: Path) -> None:
    run_ranks(SHARDED, checkpoint, tmp_path / "saved", world=2)
    algorithm = PPO(critic="trunk", value_start=-3.0, kl_coef=0.0)
    expected, found = (algorithm.network(lambda: load_causal_lm(checkpoint)) for _ in range(2))
    with torch.no_grad():
        for weight in found.critic_weights():
            weight.parameters[0].zero_()
    take_critic(found, algorithm.critic_form, tmp_path / "saved")
    for (name, mine, _), (_, theirs, _) in zip(
        expected.critic_weights(), found.critic_weights(), strict=True
    ):
        assert torch.equal(mine[0], theirs[0]), name
