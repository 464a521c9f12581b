"""LoRA: the same result at every ZeRO stage, exact resume, and one model in learner and files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import run_ranks

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

STAGES = """
import json, sys
import numpy as np
import torch
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.online.ppo import PPO
from learners.config import LearnerConfig, LoraConfig, OptimiserConfig
from learners.learner import Learner
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table

checkpoint, out, port, rank, world = sys.argv[1:]
env = make("maze-po", max_steps=6)
table = to_table([play(env, "random", seed, "maze-po") for seed in range(3)])
algorithms = {
    "ppo": PPO(kl_coef=0.1, epochs=2, minibatch=0, kl_stop=None, value_scale=10.0),
    "critic": PPO(kl_coef=0.1, critic="trunk", epochs=1, minibatch=0, value_scale=10.0),
    "ilql": ILQL(value_start=-5.0, cql_weight=0.1, polyak=0.5),
}
stages = (0,) if world == "1" else (0, 1, 2, 3)
weights, facts = {}, {}
for zero in stages:
    for name, algorithm in algorithms.items():
        config = LearnerConfig(
            optimiser=OptimiserConfig(lr=1e-2, head_lr=1e-2, zero=zero, eps=1e-1, zero_whole=0),
            lora=LoraConfig(rank=4, alpha=32.0), micro_tokens=200, threads=1,
            recompute=name == "critic",
        )
        learner = Learner(
            algorithm, config, checkpoint, 56, rank=int(rank), world=int(world), port=int(port)
        )
        start = {n: t.clone() for n, t in learner.engine.named_weights()}
        first = learner.update([table])
        last = [learner.update([table]) for _ in range(2)][-1]
        now = {n: t.clone() for n, t in learner.engine.named_weights()}
        changed = sum(not torch.equal(now[n], start[n]) for n in now if n[0] != "q")
        weights[f"{name} {zero}"] = np.concatenate([t.numpy().ravel() for t in now.values()])
        facts[f"{name} {zero}"] = {
            "kl": [first.get("kl_to_start", 0.0), last.get("kl_to_start", 1.0)],
            "loss": last["loss"], "changed": changed, "sizes": learner.sizes(),
            "names": sorted(now),
        }
        learner.engine.engine.destroy()
if rank == "0":
    np.savez(out, **weights)
    print(json.dumps(facts))
"""


def group(checkpoint: Path, out: Path, world: int) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Run every case on a group of ranks; return merged weights and facts of each case."""
    printed = run_ranks(STAGES, checkpoint, out, world=world)
    return np.load(out), json.loads(printed.splitlines()[-1])


def test_every_stage_learns_what_one_rank_learns(checkpoint: Path, tmp_path: Path) -> None:
    expected, alone = group(checkpoint, tmp_path / "one.npz", 1)
    found, together = group(checkpoint, tmp_path / "two.npz", 2)
    assert len(together) == 12
    for name, facts in together.items():
        plain = name[:-1] + "0"
        np.testing.assert_allclose(found[name], expected[plain], rtol=0, atol=2e-6, err_msg=name)
        assert facts["loss"] == pytest.approx(alone[plain]["loss"], rel=1e-4, abs=1e-6), name
        # The reference is the model without its adapters, so it is the policy before the first
        # step, and another one afterwards.
        before, after = facts["kl"]
        assert before < 1e-9 < 1e-6 < after, name
        assert facts["changed"] == 8, name  # four matrices of each of two layers
        assert not any("lora" in key or "base_layer" in key for key in facts["names"])
        sizes = facts["sizes"]
        assert sizes["trainable"] < 0.5 * sizes["parameters"]


FILES = """
import sys
from pathlib import Path
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from learners.algorithms.online.ppo import PPO
from learners.config import LearnerConfig, LoraConfig, OptimiserConfig
from learners.learner import Learner
from learners.networks.causal_lm import load_causal_lm
from lmrl import make
from lmrl.episode import play
from lmrl.schema import to_table
from ranks import free_port

checkpoint, folder = sys.argv[1:3]
env = make("maze-fo", max_steps=9)
tables = [
    to_table([play(env, "random", 10 * k + i, "maze-fo") for i in range(10)]) for k in range(11)
]
algorithm = PPO(kl_coef=0.1, epochs=2, minibatch=20, critic="head")
def fresh(rank):
    config = LearnerConfig(
        optimiser=OptimiserConfig(lr=1e-2), lora=LoraConfig(rank=rank, alpha=16.0), threads=1,
        recompute=bool(rank), micro_tokens=300,
    )
    return Learner(algorithm, config, checkpoint, 56, port=free_port())
learner = fresh(8)
for table in tables[:10]:
    learner.update([table])
learner.save(folder)
expected = learner.update([tables[10]])

# Merged as it is sent, merged in the file, and the base with peft's adapters.
ids = torch.arange(3, 50)[None]
with torch.no_grad():
    merged = AutoModelForCausalLM.from_pretrained(folder)(input_ids=ids).logits
    base = AutoModelForCausalLM.from_pretrained(checkpoint)
    start = base(input_ids=ids).logits
    adapted = PeftModel.from_pretrained(base, Path(folder, "adapter"))(input_ids=ids).logits
assert (adapted - start).abs().max() > 0.1
assert (adapted - merged).abs().max() < 1e-4, (adapted - merged).abs().max()

again = fresh(8)  # another process would begin so
again.load(folder)
saved = load_causal_lm(folder).model.state_dict()
for name, tensor in again.engine.named_weights():
    assert torch.equal(tensor, saved[name]), name
got = again.update([tables[10]])
for key in ("loss", "grad_norm", "approx_kl", "kl_to_start", "value_loss"):
    assert got[key] == expected[key], (key, got[key], expected[key])

full = fresh(0)
full.update([tables[0]])
small, large = learner.sizes(), full.sizes()
assert small["optimiser_state"] == 2 * small["trainable"]
assert large["optimiser_state"] == 2 * large["trainable"] == 2 * large["parameters"]
assert small["optimiser_state"] < 0.4 * large["optimiser_state"], (small, large)
print("same")
"""


def test_files_hold_base_and_adapter_and_a_resume_is_exact(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Activations are computed again in the backward pass here."""
    assert run_ranks(FILES, checkpoint, tmp_path).endswith("same")
    assert (tmp_path / "adapter" / "adapter_config.json").exists()
