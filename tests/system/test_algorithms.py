"""What every algorithm has to satisfy, whatever it learns. New ones are found by their registry."""

import json
from pathlib import Path
from typing import Any

import pytest
from ranks import ROOT, run_ranks

from learners.algorithms.base import Algorithm
from learners.algorithms.registry import ALGORITHMS, algorithm_class, as_json
from lmrl.errors import UsageError

PROGRAM = """
import json, sys
import numpy as np
import torch
from learners.algorithms.registry import ALGORITHMS, algorithm_class
from learners.config import LearnerConfig, OptimiserConfig
from learners.learner import Learner
from lmrl import make
from lmrl.episode import play
from lmrl.schema import from_table, to_table

# Of equal returns the first episodes are chosen, which would depend on the order.
EXAMPLES = sys.argv[2:-3]
CHANGES = {
    "archer": {"warmup": 0, "epochs": 2, "critic_epochs": 1},
    "qsft": {"lowest": -20.0},
    "online_filtered_bc": {"ties": True},
}


@torch.no_grad()
def likelihoods(learner, table):
    # Log-probability and entropy of each action token, one context at a time.
    model = learner.engine.network.policy.model
    for t in from_table(table):
        t = learner.codec.read(t).executed()
        rows = []
        for turn, context in zip(t.turns, t.contexts()):
            ids = torch.tensor(np.concatenate([context, turn.action_ids])[None].astype(np.int64))
            logits = model(ids).logits[0, len(context) - 1 : -1].float().log_softmax(-1)
            chosen = logits.gather(-1, ids[0, len(context) :, None])[:, 0]
            rows.append(torch.stack([chosen, -(logits.exp() * logits).sum(-1)]).numpy())
        yield np.concatenate(rows, 1)


def inspected(learner, table):
    # What `inspect` says of some episodes, and its largest distance to the twin above.
    weights = [t.clone() for _, t in learner.engine.named_weights()]
    seen = learner.inspect(table)
    kept = all(torch.equal(a, b) for a, (_, b) in zip(weights, learner.engine.named_weights()))
    lengths = [sum(len(turn.action_ids) for turn in learner.codec.read(t).executed().turns)
               for t in from_table(table)]
    columns = {name: seen[name].to_pylist() for name in seen.column_names}
    result = {
        "names": seen.column_names,
        "kept": kept,
        "lengths": all([len(row) for row in rows] == lengths for rows in columns.values()),
        "finite": all(bool(np.isfinite(row).all()) for rows in columns.values() for row in rows),
    }
    if "log_prob" in columns:
        pairs = zip(columns["log_prob"], columns["entropy"], likelihoods(learner, table))
        result["gap"] = max(float(np.abs(np.stack([a, b]) - twin).max()) for a, b, twin in pairs)
    return result


def learned(name, table, budget=10**6, windows="exact", inspect=False):
    cls = algorithm_class(name)
    shared = {"minibatch": 0} if cls.minibatch else {}
    config = LearnerConfig(
        # A large epsilon: Adam turns rounding of near-zero gradients into whole steps.
        optimiser=OptimiserConfig(lr=1e-2, eps=1e-1), micro_tokens=budget, threads=1
    )
    learner = Learner(cls(**shared, **CHANGES.get(name, {})), config, sys.argv[1], 56, port=PORT)
    metrics = learner.update([table])
    tensors = [t.double().numpy().ravel() for _, t in learner.engine.named_weights()]
    weights = np.concatenate(tensors)
    seen = inspected(learner, short) if inspect else None
    learner.engine.engine.destroy()
    return (metrics, weights, seen) if inspect else (metrics, weights)


PORT = int(sys.argv[-3])
po = [play(make("maze-po", max_steps=6), "random", seed, "maze-po") for seed in range(4)]
fo = [play(make("maze-fo", max_steps=5), "random", seed, "maze-fo") for seed in range(4)]
# Two episodes of a seed are a group.
po += [play(make("maze-po", max_steps=6), "optimal", seed, "maze-po") for seed in range(3)]
fo += [play(make("maze-fo", max_steps=5), "optimal", seed, "maze-fo") for seed in range(3)]
table = to_table(po + fo)
short = to_table(fo[:4] + [play(make("maze-po", max_steps=2), "random", 0, "maze-po")])
order = np.random.default_rng(0).permutation(table.num_rows)
one_turn = to_table([play(make("maze-fo", max_steps=1), "random", 0, "maze-fo")])
found = {}
for name in [*ALGORITHMS, *EXAMPLES]:
    whole, weights, seen = learned(name, table, inspect=True)
    result = found[name] = {"whole": whole, "inspected": seen}
    for case, arguments in {
        "order": (table.take(order),),
        "passes": (table, 60),
    }.items():
        metrics, other = learned(name, *arguments)
        result[case] = metrics
        result[case + "_weights"] = float(np.abs(other - weights).max())
    result["one_turn"] = learned(name, one_turn)[0]
    result["nothing"] = learned(name, table.slice(0, 0))[0]
print(json.dumps(found))
"""


EXAMPLES = (
    "examples.own_algorithm:RewardWeighted",
    "examples.own_online_algorithm:SignOfReturn",
)
EVERY = [*ALGORITHMS, *EXAMPLES]


@pytest.fixture(scope="module")
def found(checkpoint: Path) -> dict[str, Any]:
    printed = run_ranks(PROGRAM, checkpoint, *EXAMPLES, timeout=280)
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


@pytest.mark.system
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("case", ["order", "passes"])
def test_an_update_does_not_depend_on_order_or_passes(
    found: dict[str, Any], name: str, case: str
) -> None:
    whole, other = found[name]["whole"], found[name][case]
    assert whole["optimiser_steps"] == other["optimiser_steps"] > 0
    assert whole["grad_norm"] > 0
    for key in ("loss", "grad_norm"):
        assert other[key] == pytest.approx(whole[key], rel=1e-4, abs=1e-5), key
    assert found[name][case + "_weights"] < 1e-5


@pytest.mark.system
@pytest.mark.parametrize("name", EVERY)
def test_the_smallest_batches_give_finite_numbers(found: dict[str, Any], name: str) -> None:
    for case in ("one_turn", "nothing"):
        for key, value in found[name][case].items():
            assert value == value and abs(value) != float("inf"), (case, key, value)
    assert found[name]["nothing"]["optimiser_steps"] == 0


@pytest.mark.system
@pytest.mark.parametrize("name", EVERY)
def test_a_learner_says_what_it_knows_of_every_token(found: dict[str, Any], name: str) -> None:
    seen = found[name]["inspected"]
    assert seen["kept"] and seen["lengths"] and seen["finite"]
    if algorithm_class(name)().guidance is None:
        assert {"log_prob", "entropy"} <= set(seen["names"]) and seen["gap"] < 1e-4
    else:
        assert "q" in seen["names"]
    if name == "ppo":
        assert {"value", "advantage", "target"} <= set(seen["names"])


@pytest.mark.system
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_metric_is_explained(found: dict[str, Any], name: str) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    missing = [key for key in found[name]["whole"] if f"`train/{key}`" not in page]
    assert not missing


@pytest.mark.parametrize("name", EVERY)
def test_an_algorithm_is_found_by_the_name_that_it_is_stored_under(name: str) -> None:
    cls = algorithm_class(name)
    assert issubclass(cls, Algorithm)
    stored = as_json(cls())
    assert stored.pop("name") == name and algorithm_class(name)(**stored) == cls()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ilq", r"algorithm 'ilq' is unknown; did you mean 'ilql'\?"),
        ("no.such.module:Own", "cannot be imported"),
        ("learners.algorithms.base:TargetConfig", "is not a subclass"),
    ],
)
def test_what_is_no_algorithm_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        algorithm_class(name)
