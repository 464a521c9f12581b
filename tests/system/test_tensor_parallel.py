"""An engine that is divided over two worker processes gets pushes and guides by values."""

from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ray = pytest.importorskip("ray")

from cluster.presets import preset  # noqa: E402
from cluster.startup.launch import launch  # noqa: E402
from cluster.stream import episodes, evaluation_job  # noqa: E402
from cluster.weights.parity import differing  # noqa: E402
from cluster.weights.push import push  # noqa: E402
from learners.checkpoints.guided import make_guided  # noqa: E402
from lmrl.episode import play  # noqa: E402
from lmrl.schema import to_table  # noqa: E402
from lmrl.tasks import make  # noqa: E402


def test_worker_processes_know_the_guided_model_and_our_weight_transfer(
    local_ray: None, checkpoint: Path, tmp_path: Path
) -> None:
    """vLLM's plug-in registers both there. The gate compares the sampler with the learner, before
    and after an update of the values."""
    exp = preset("maze-fo-ilql")
    exp = replace(
        exp,
        model=replace(exp.model, path=str(checkpoint)),
        sampler=replace(exp.sampler, tensor_parallel=2, threads=2, max_sequences=8),
        # The sampler starts in the bundle of the learner rank.
        placement=replace(exp.placement, samplers="colocated"),
    )
    make_guided(exp.algorithm, checkpoint, tmp_path / "start")
    with launch(exp, checkpoint, served=tmp_path / "start") as fleet:
        first = push(fleet, 0)
        before = ray.get(fleet.samplers[0].score.remote(fleet.probes))
        env = make(exp.task, max_steps=6)
        table = to_table([play(env, "mixture", seed, exp.task) for seed in range(4)])
        for _ in range(3):
            fleet.learners.update([table])
        second = push(fleet, 1)
        after = ray.get(fleet.samplers[0].score.remote(fleet.probes))
        assert max(first.max_abs, second.max_abs) < 1e-3
        assert max(abs(a - b).max() for a, b in zip(before, after, strict=True)) > 1e-2
        assert fleet.weights is not None
        sent = fleet.weights.sent.checksums
        assert not differing(sent, ray.get(fleet.samplers[0].held.remote(fleet.probes))[1])
        played = list(episodes(fleet, evaluation_job(fleet, [7], "tp")))
        assert played[0].table.num_rows == 1
        ray.get(fleet.samplers[0].set_beta.remote(0.0))
        plain = ray.get(fleet.samplers[0].score.remote(fleet.probes))
        assert max(abs(a - b).max() for a, b in zip(plain, after, strict=True)) > 1e-2
