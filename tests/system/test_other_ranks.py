"""A checkpoint goes on with fewer ranks."""

import json
from pathlib import Path

import numpy as np
import pytest
from ranks import run_ranks

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROGRAM = """
import json, os, sys
import numpy as np
from learners.algorithms.online.ppo import PPO
from learners.config import LearnerConfig, OptimiserConfig
from learners.learner import Learner
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

checkpoint, folder, stages, port, rank, world = sys.argv[1:]
env = make("maze-fo", max_steps=6)
episodes = [play(env, "random", seed, "maze-fo") for seed in range(6)]
# One minibatch, so that the order of segments, which each rank draws, changes nothing.
ppo = PPO(kl_coef=0.1, epochs=2, minibatch=0, kl_stop=None, value_scale=10.0)
found = {}
for zero in map(int, stages.split()):
    # With a small eps, Adam would enlarge the rounding of gradients that are zero.
    optimiser = OptimiserConfig(zero=zero, lr=1e-3, zero_whole=0, eps=1e-3)
    config = LearnerConfig(ranks=int(world), optimiser=optimiser)
    learner = Learner(
        ppo, config, checkpoint, 100, int(rank), int(world), "127.0.0.1", int(port), updates=10
    )
    path = os.path.join(folder, str(zero))
    if os.path.exists(path):
        learner.load(path)
    else:
        learner.update([to_table(episodes[:3])])
        learner.update([to_table(episodes[1:4])])
        learner.group.each(0)  # no rank makes the folder before another one has looked for it
        os.makedirs(path, exist_ok=True)
        learner.save(path)
    learner.update([to_table(episodes[3:])])
    found[zero] = {name: t.double().tolist() for name, t in learner.engine.named_weights()}
if rank == "0":
    json.dump(found, open(os.path.join(folder, f"weights-{world}.json"), "w"))
"""


def weights(folder: Path, world: int) -> dict[str, np.ndarray]:
    found = json.loads((folder / f"weights-{world}.json").read_text())
    return {
        f"{zero} {name}": np.array(value)
        for zero, part in found.items()
        for name, value in part.items()
    }


def test_fewer_ranks_go_on_as_those_that_saved(checkpoint: Path, tmp_path: Path) -> None:
    for world in (2, 1):
        run_ranks(PROGRAM, checkpoint, tmp_path, "0 2", world=world)
    two, one = weights(tmp_path, 2), weights(tmp_path, 1)
    assert two.keys() == one.keys()
    for name, values in two.items():
        assert np.abs(values - one[name]).max() < 1e-5, name
