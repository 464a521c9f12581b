"""A critic that another run takes over has the same values there, or is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from cluster.experiment import Experiment
from cluster.presets import preset
from cluster.presets.derived import derived
from cluster.startup.start_policy import starting_point
from learners.algorithms.base import Algorithm, CriticForm
from learners.algorithms.offline.bc import BC
from learners.algorithms.offline.ilql import ILQL, OnlineILQL
from learners.algorithms.offline.mc import MC
from learners.algorithms.offline.weighted_iql import WeightedIQL
from learners.algorithms.online.archer import ArCHer
from learners.algorithms.online.ppo import PPO
from learners.algorithms.online.turn_ppo import TurnPPO
from learners.checkpoints.critic import check_takes, take_critic, write_critic
from learners.checkpoints.guided import write_guided
from learners.config import LoraConfig
from learners.networks.causal_lm import load_causal_lm
from learners.networks.outputs import Inputs
from lmrl.errors import UsageError
from lmrl.runs.log import RunLog


def network(algorithm: Algorithm, checkpoint: Path) -> Any:
    return algorithm.network(lambda: load_causal_lm(checkpoint))


def written(algorithm: Algorithm, checkpoint: Path, folder: Path) -> Any:
    """Return a network with random values, whose checkpoint has been written to `folder`."""
    torch.manual_seed(1)
    net = network(algorithm, checkpoint)
    with torch.no_grad():
        for weight in net.critic_weights():
            weight.parameters[0].add_(0.05 * torch.randn(weight.parameters[0].shape))
    if algorithm.guidance is None:
        shutil.copytree(checkpoint, folder)
    else:
        folder.mkdir()
        weights = {weight.name: weight.tensor() for weight in net.exported()}
        write_guided(folder, checkpoint, algorithm.guidance, weights)
    form = algorithm.critic_form
    assert form is not None
    write_critic(folder, form, {w.name: w.tensor() for w in net.critic_weights()})
    return net


@torch.no_grad()
def values(net: Any) -> tuple[torch.Tensor, Any]:
    """Return V and Q of a network at all positions of two rows."""
    tokens = torch.arange(3, 15).reshape(2, 6)
    row = torch.arange(2).repeat_interleave(5)
    position = torch.arange(5).repeat(2)
    none = row[:0]
    lengths = torch.full((2,), 6)
    acts = torch.ones(10, dtype=torch.bool)
    entry = tokens[row, position + 1]
    out = net(Inputs(tokens, lengths, row, position, torch.arange(10), entry, acts, none, none))
    return (out.v if hasattr(out, "v") else out.value), out.q


BINS: dict[str, Any] = {"value_bins": 10, "value_bounds": (-20.0, 0.0)}

TAKEN = {
    "weighted_iql to archer": (WeightedIQL(value_scale=4.0), ArCHer(value_scale=7.0)),
    "ilql to archer": (ILQL(value_scale=4.0), ArCHer(value_scale=1.0, head="mlp")),
    "ilql to online_ilql": (ILQL(value_scale=4.0), OnlineILQL(value_scale=4.0)),
    "ilql to ppo": (ILQL(value_scale=4.0), PPO(critic="trunk", head="mlp", value_scale=9.0)),
    "ilql with bins to ppo": (ILQL(**BINS), PPO(critic="trunk", **BINS)),
    "weighted_iql to turn_ppo": (
        WeightedIQL(head="linear", value_scale=3.0),
        TurnPPO(critic="trunk", value_scale=2.0),
    ),
    "ppo to ppo": (PPO(critic="trunk", value_scale=2.0), PPO(critic="trunk")),
    "a head to a head": (PPO(value_scale=2.0), PPO(value_scale=5.0)),
    "a head to a trunk": (PPO(value_scale=2.0), PPO(critic="trunk", value_scale=5.0)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_values_are_the_same_after_they_are_taken_over(
    checkpoint: Path, tmp_path: Path, name: str
) -> None:
    before, after = TAKEN[name]
    v, q = values(written(before, checkpoint, tmp_path / "run"))
    net = network(after, checkpoint)
    own = values(net)[0]
    take_critic(net, after.critic_form, tmp_path / "run")
    found = values(net)
    torch.testing.assert_close(found[0], v, rtol=1e-5, atol=1e-5)
    assert (own - v).abs().max() > 0.1
    if found[1] is not None:
        torch.testing.assert_close(found[1], q, rtol=1e-5, atol=1e-5)


def test_a_guided_checkpoint_holds_no_weight_twice(checkpoint: Path, tmp_path: Path) -> None:
    written(ILQL(), checkpoint, tmp_path / "run")
    policy = (tmp_path / "run" / "model.safetensors").stat().st_size
    assert (tmp_path / "run" / "critic" / "model.safetensors").stat().st_size < 0.1 * policy


V = CriticForm(True, 0, True, "linear", 1.0)
QV = CriticForm(True, 2, True, "mlp", 1.0)


@pytest.mark.parametrize(
    ("wanted", "given", "message"),
    [
        (QV, replace(QV, q_heads=1), r"has 1 Q heads, and this algorithm needs 2"),
        (QV, V, r"has 0 Q heads, and this algorithm needs 2"),
        (V, replace(QV, v=False), r"has no V head"),
        (V, QV, r"has mlp heads, and this algorithm needs linear; set algorithm\.head mlp"),
        (replace(V, trunk=False), V, r"trunk of its own.*set algorithm\.critic trunk"),
        (
            replace(V, bins=10, bounds=(-1.0, 0.0)),
            replace(V, bins=10, bounds=(-2.0, 0.0)),
            r"value_bounds \(-2\.0, 0\.0\).*needs value_bins 10, value_bounds \(-1\.0, 0\.0\)",
        ),
    ],
)
def test_another_kind_of_critic_is_refused(
    wanted: CriticForm, given: CriticForm, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_takes(wanted, given, "runs/x")


def test_another_size_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    written(WeightedIQL(), checkpoint, tmp_path / "run")
    net = network(ArCHer(), checkpoint)
    net.utterances.v_head.weight = torch.nn.Parameter(torch.zeros(1, 7))
    with pytest.raises(UsageError, match=r"for v\.weight, and this model's is \(1, 7\)"):
        take_critic(net, ArCHer().critic_form, tmp_path / "run")


def experiment(algorithm: Algorithm, path: Path | None, critic: str, **changes: Any) -> Experiment:
    exp = replace(preset("maze-fo-ppo"), algorithm=algorithm, start_critic=critic, **changes)
    return replace(exp, model=replace(exp.model, path=None if path is None else str(path)))


def test_an_experiment_is_checked_before_anything_starts(checkpoint: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    written(PPO(value_scale=2.0), checkpoint, run)
    experiment(PPO(), run, "start").check()
    experiment(PPO(), run, str(run)).check()
    refused = [
        (experiment(BC(), run, "start"), "bc has no critic"),
        (experiment(PPO(), checkpoint, "start"), "has no critic"),
        (experiment(PPO(), checkpoint, str(run)), "reads the trunk of its own policy"),
        (experiment(PPO(), None, str(run)), "no policy that belongs to it"),
        (experiment(ArCHer(), run, "start"), "has 0 Q heads"),
        (experiment(PPO(), None, "start"), "start is maze-fo-bc, which has no critic"),
        (experiment(ArCHer(), None, "start", start="mc"), "has 1 Q heads"),
    ]
    for exp, message in refused:
        with pytest.raises(UsageError, match=message):
            exp.check()
    written(WeightedIQL(), checkpoint, other)
    exp = experiment(ArCHer(), other, "start")
    exp.check()
    lora = replace(exp.learner, lora=LoraConfig(rank=4))
    with pytest.raises(UsageError, match=r"set learner\.lora\.rank 0"):
        replace(exp, learner=lora).check()
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["a new token"])
    tokenizer.save(str(other / "tokenizer.json"))
    with pytest.raises(UsageError, match="has another tokenizer"):
        experiment(ArCHer(), checkpoint, str(other)).check()


@pytest.mark.parametrize("start", ["ilql", "weighted_iql"])
def test_a_value_based_run_can_be_the_start(start: str) -> None:
    exp = replace(derived("archer", "maze-fo", {}), start=start, start_critic="start")
    exp.check()
    if start == "ilql":
        with pytest.raises(UsageError, match="--start-critic start"):
            replace(exp, start_critic=None).check()


def test_a_damaged_critic_is_named(checkpoint: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    written(MC(), checkpoint, run)
    (run / "critic" / "critic.json").write_text(json.dumps({"trunk": True}))
    with pytest.raises(UsageError, match=r"critic\.json cannot be read"):
        experiment(ArCHer(), checkpoint, str(run)).check()


@pytest.mark.parametrize(("start", "policy"), [("ilql", "start/start"), ("weighted_iql", "start")])
def test_a_run_begins_with_the_policy_and_the_critic_of_its_start(
    tmp_path: Path, start: str, policy: str
) -> None:
    trained = []

    def train(exp: Experiment, log: RunLog, resume: bool) -> None:
        starting_point(exp, log.folder, train)
        trained.append(exp.algorithm.name)
        (log.folder / "checkpoints" / "last").mkdir(parents=True)
        (log.folder / "summary.json").write_text("{}")

    exp = replace(derived("archer", "maze-fo", {}), start=start, start_critic="start")
    for _ in range(2):  # a resumed run trains nothing again
        found = starting_point(exp, tmp_path, train)
        assert trained == ["bc", start]
        assert found.path == tmp_path / policy / "checkpoints" / "last"
        assert found.critic == tmp_path / "start" / "checkpoints" / "last"
    assert found.label == ("bc" if start == "ilql" else start)
    if start == "weighted_iql":
        assert starting_point(replace(exp, start_critic=None), tmp_path, train).critic is None
