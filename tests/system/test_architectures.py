"""Two architectures unlike GPT-2, trained through Ray, vLLM and DeepSpeed. `benchmarks.models` does
the same for every architecture."""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

from benchmarks.architectures import make_model, texts_tokenizer  # noqa: E402
from benchmarks.models import experiment, measure  # noqa: E402
from cluster.source import sample_texts  # noqa: E402


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
    lines = (tmp_path / "gemma2-ppo" / "metrics.jsonl").read_text().splitlines()
    # The sampled tokens' log-probabilities are those of the policy at temperature 1.
    assert all(0.0 < json.loads(line)["train/sampler_gap"] < 1e-4 for line in lines)
