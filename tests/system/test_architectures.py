"""Two architectures unlike GPT-2, trained through Ray, vLLM and DeepSpeed. `benchmarks.models` does
the same for every architecture."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

from benchmarks.models.architectures import make_model, texts_tokenizer  # noqa: E402
from benchmarks.models.matrix import experiment, measure  # noqa: E402
from cluster.source import sample_texts  # noqa: E402
from cluster.train import train  # noqa: E402
from learners.config import LoraConfig  # noqa: E402
from lmrl.errors import UsageError  # noqa: E402
from lmrl.runs.export import export  # noqa: E402
from lmrl.runs.log import RunLog  # noqa: E402


def test_other_architectures_train_and_agree_with_their_sampler(
    local_ray: None, tmp_path: Path
) -> None:
    """Gemma-2 bounds its logits and its attention, and Phi runs in vLLM through transformers. Both
    have more rows than tokens, and a generation_config.json that asks for greedy sampling."""
    tokenizer = texts_tokenizer(sample_texts(experiment("ppo", tmp_path, "cpu")))
    for name, algorithm in (("gemma2", "ppo"), ("phi", "ilql")):
        (tmp_path / name).mkdir()
        make_model(name, tmp_path / name, tokenizer)
        found = measure(name, algorithm, tmp_path, "cpu")
        assert found["result"] == "passed", found
        assert 0.0 < found["parity"] < 1e-4
    with pytest.raises(UsageError, match="has no adapters, since it was not trained with"):
        export(tmp_path / "gemma2-ppo", tmp_path / "out", adapter=True)
    lines = (tmp_path / "gemma2-ppo" / "metrics.jsonl").read_text().splitlines()
    # The sampled tokens' log-probabilities are those of the policy at temperature 1.
    assert all(0.0 < json.loads(line)["train/sampler_gap"] < 1e-4 for line in lines)


def test_a_run_with_lora_is_pushed_merged_and_exported_both_ways(
    local_ray: None, tmp_path: Path
) -> None:
    """Mistral with grouped heads. The samplers' weights are base + adapter: the gate compares them
    with the learner's, and the exported models are the same policy."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    exp = experiment("ppo", tmp_path / "mistral", "cpu")
    (tmp_path / "mistral").mkdir()
    make_model("mistral", tmp_path / "mistral", texts_tokenizer(sample_texts(exp)))
    optimiser = replace(exp.learner.optimiser, lr=0.02, warmup=0)
    exp = replace(
        exp,
        updates=3,
        learner=replace(exp.learner, optimiser=optimiser, lora=LoraConfig(rank=4)),
        push=replace(exp.push, tolerance=1e-3),
    )
    summary = train(exp, RunLog(tmp_path / "run"))
    assert 0.0 < summary["parity"]["max_abs"] < 1e-4
    learner = summary["learner"]
    assert learner["optimiser_state"] == 2 * learner["trainable"] < learner["parameters"]
    assert learner["peak_memory_gb"] > 0.1 < summary["sampler"]["peak_memory_gb"]
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    kl = [line["train/kl_to_start"] for line in lines]
    assert kl[0] < 1e-9 < 1e-5 < kl[-1]

    export(tmp_path / "run", tmp_path / "merged")
    facts = export(tmp_path / "run", tmp_path / "adapter", adapter=True)
    assert facts["base"] == str(tmp_path / "mistral")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        start, merged, adapted = (
            kind.from_pretrained(tmp_path / name)(input_ids=ids).logits
            for kind, name in (
                (AutoModelForCausalLM, "mistral"),
                (AutoModelForCausalLM, "merged"),
                (AutoPeftModelForCausalLM, "adapter"),
            )
        )
    assert float((merged - start).abs().max()) > 1e-2
    torch.testing.assert_close(adapted, merged, atol=1e-4, rtol=0)
