"""A step whose gradient is not finite changes nothing, on one rank and at every ZeRO stage."""

from pathlib import Path

import pytest
from ranks import run_ranks

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROGRAM = """
import copy, json, sys
import numpy as np
import torch
from learners.algorithms.base import LossOutput
from learners.algorithms.offline.bc import BC
from learners.config import OptimiserConfig
from learners.algorithms.offline.ilql import ILQL
from learners.learner import Learner
from learners.config import LearnerConfig
from lmrl import make
from lmrl.errors import RunError
from lmrl.episode import play
from lmrl.schema import to_table

env = make("maze-fo", max_steps=6)
table = to_table([play(env, "random", seed, "maze-fo") for seed in range(4)])
damage = ""


class Nan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * float("nan")


def broken(kind):
    class Broken(kind):
        name = kind.name

        def loss(self, out, targets, normaliser):
            terms = super().loss(out, targets, normaliser)
            if damage == "loss":  # a loss that is not finite, with a finite gradient
                return LossOutput(terms.loss + float("inf"), terms.sums)
            if damage == "gradient":  # and the other way round
                return LossOutput(Nan.apply(terms.loss), terms.sums)
            return terms

    return Broken


def state(learner):
    optimiser = learner.engine.optimiser
    inner = getattr(optimiser, "optimizer", optimiser)
    found = [t.clone() for _, t in learner.engine.named_weights()]
    found += [v.clone() for s in inner.state.values() for v in s.values() if torch.is_tensor(v)]
    if learner.target is not None:
        found += [p.clone() for p in learner.target.network.parameters()]
    return found


for zero in range(4):
    algorithm = broken(ILQL)(value_start=-5.0, polyak=0.5) if zero % 2 else broken(BC)()
    config = LearnerConfig(
        optimiser=OptimiserConfig(lr=1e-2, zero=zero), micro_tokens=100, threads=1, max_skips=3
    )
    learner = Learner(algorithm, config, sys.argv[1], 56, port=int(sys.argv[2]))
    assert np.isfinite(learner.update([table])["loss"])
    before = state(learner)
    for damage in ("gradient", "loss"):
        metrics = learner.update([table])
        assert not np.isfinite(metrics["grad_norm"])
        for ours, theirs in zip(state(learner), before, strict=True):
            assert torch.equal(ours, theirs), (zero, damage)
    assert metrics["skipped_total"] == metrics["skipped_in_a_row"] == 2
    damage = ""
    metrics = learner.update([table])
    assert np.isfinite(metrics["grad_norm"])
    assert any(not torch.equal(a, b) for a, b in zip(state(learner), before))
    assert (metrics["skipped_total"], metrics["skipped_in_a_row"]) == (2, 0)
    damage = "gradient"
    try:
        for _ in range(3):
            learner.update([table])
    except RunError as error:
        assert "3 optimiser steps in a row" in str(error)
    else:
        raise AssertionError("no end")
    damage = ""
    learner.engine.engine.destroy()
print("whole")
"""


def test_a_step_that_is_not_finite_changes_nothing(checkpoint: Path) -> None:
    """Weights, the optimiser's state and the target network stay; the skips are counted."""
    assert run_ranks(PROGRAM, checkpoint, timeout=200).endswith("whole")
