"""The same house on a GPU: samplers and learner agree after a push, in both types."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_samplers_and_learner_agree_on_a_gpu(checkpoint: Path, dtype: Any) -> None:
    from cluster.presets import preset
    from cluster.startup.launch import launch
    from cluster.startup.ray_session import ray_session
    from cluster.weights.push import push

    exp = preset("maze-fo-ppo")
    exp = replace(
        exp,
        model=replace(exp.model, path=str(checkpoint)),
        sampler=replace(exp.sampler, dtype=dtype),
        learner=replace(exp.learner, optimiser=replace(exp.learner.optimiser, dtype=dtype)),
        placement=replace(exp.placement, device="cuda"),
    )
    with ray_session(), launch(exp, checkpoint) as fleet:
        for version in (0, 1):
            report = push(fleet, version)
            assert report.max_abs <= exp.tolerance and report.pushed_again == 0
