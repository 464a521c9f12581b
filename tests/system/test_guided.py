"""Value-guided sampling inside vLLM against the same policy in plain PyTorch, through pushes,
checkpoints and a killed sampler."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ray = pytest.importorskip("ray")

from actors.messages import (  # noqa: E402
    Contexts,
    Decoding,
    Request,
)
from cluster.fleet import Fleet  # noqa: E402
from cluster.presets import preset  # noqa: E402
from cluster.startup.launch import launch  # noqa: E402
from cluster.stream import episodes, evaluation_job  # noqa: E402
from cluster.weights.push import push  # noqa: E402
from learners.algorithms.offline.ilql import ILQL  # noqa: E402
from learners.algorithms.offline.qsft import QSFT  # noqa: E402
from learners.checkpoints.guided import make_guided, read_guidance  # noqa: E402
from learners.networks.causal_lm import load_causal_lm  # noqa: E402
from learners.networks.guidance import guided_logits  # noqa: E402
from lmrl.episode import play  # noqa: E402
from lmrl.schema import to_table  # noqa: E402
from lmrl.tasks import make  # noqa: E402

ALGORITHM = ILQL(
    gamma=0.95, cql_weight=0.05, value_start=-20.0, value_scale=5.0, beta=2.0, polyak=0.1
)


@pytest.fixture(scope="module")
def guided(
    local_ray: None, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """One value-guided sampler, one simulator and one learner rank."""
    exp = preset("maze-fo-ilql")
    exp = replace(
        exp, algorithm=ALGORITHM, failures=0.0, model=replace(exp.model, path=str(checkpoint))
    )
    served = tmp_path_factory.mktemp("guided") / "start"
    make_guided(exp.algorithm, checkpoint, served)
    with launch(exp, checkpoint, served=served) as fleet:
        push(fleet, 0)
        yield fleet


def twin(folder: Path, rows: list[np.ndarray], beta: float, top_p: float = 1.0) -> list[np.ndarray]:
    """Return log-probs of all tokens but the first, computed from a checkpoint directory alone."""
    from safetensors.torch import load_file

    from learners.networks.heads import Head

    guidance = read_guidance(folder)
    assert guidance is not None
    weights = load_file(str(folder / "model.safetensors"))

    def part(name: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}

    policy, critic = (
        load_causal_lm(folder.parent / "plain"),
        load_causal_lm(folder.parent / "plain"),
    )
    policy.model.load_state_dict(part("policy."), strict=False)
    critic.model.load_state_dict(part("critic."), strict=False)
    heads = []
    for number in range(1, guidance.heads + 1):
        state = part(f"q{number}.")
        outputs, width = state["weight"].shape
        head = Head(width, outputs, 0.0, guidance.kind, guidance.scale)
        head.load_state_dict(state)
        heads.append(head)
    found = []
    for row in rows:
        ids = torch.as_tensor(row.astype(np.int64))[None]
        with torch.no_grad():
            base = policy.head(policy.trunk(ids)[0])
            q = [head(critic.trunk(ids)[0])[0] for head in heads]
        logp = guided_logits(base, list(q), replace(guidance, beta=beta, top_p=top_p)).log_softmax(
            -1
        )
        found.append(logp[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1).numpy())
    return found


def twin_of_start(checkpoint: Path, rows: list[np.ndarray]) -> list[np.ndarray]:
    """Return the start policy's log-probs of all tokens but the first."""
    plain = load_causal_lm(checkpoint)
    found = []
    for row in rows:
        ids = torch.as_tensor(row.astype(np.int64))[None]
        with torch.no_grad():
            logp = plain.head(plain.trunk(ids)[0]).log_softmax(-1)
        found.append(logp[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1).numpy())
    return found


def saved(fleet: Fleet, folder: Path, checkpoint: Path) -> Path:
    """Return the learner's checkpoint in `folder`, with the start policy beside it."""
    (folder / "now").mkdir()
    assert fleet.learners is not None
    fleet.learners.save(folder / "now")
    (folder / "plain").symlink_to(checkpoint)
    return folder / "now"


def teach(fleet: Fleet, updates: int) -> dict[str, float]:
    assert fleet.learners is not None
    env = make("maze-fo")
    for update in range(updates):
        data = [play(env, "mixture", 50 * update + i, "maze-fo") for i in range(6)]
        metrics: dict[str, float] = fleet.learners.update([to_table(data)])
    return metrics


def test_before_any_training_it_samples_as_the_start_policy(
    guided: Fleet, checkpoint: Path
) -> None:
    scores = ray.get(guided.samplers[0].score.remote(guided.probes))
    expected = twin_of_start(checkpoint, guided.probes)
    for score, right in zip(scores, expected, strict=True):
        np.testing.assert_allclose(score, right, atol=1e-4)


def test_a_push_brings_the_values_and_the_twin_agrees(
    guided: Fleet, checkpoint: Path, tmp_path: Path
) -> None:
    before = ray.get(guided.samplers[0].score.remote(guided.probes))
    metrics = teach(guided, 12)
    assert np.isfinite(metrics["loss"])
    report = push(guided, 1)
    assert report.max_abs < 1e-4 and report.pushed_again == 0
    after = ray.get(guided.samplers[0].score.remote(guided.probes))
    assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) > 0.01
    folder = saved(guided, tmp_path, checkpoint)
    for score, expected in zip(after, twin(folder, guided.probes, ALGORITHM.beta), strict=True):
        np.testing.assert_allclose(score, expected, atol=1e-4)


def test_another_beta_needs_no_push(guided: Fleet, checkpoint: Path, tmp_path: Path) -> None:
    folder = saved(guided, tmp_path, checkpoint)
    sampler = guided.samplers[0]
    for beta in (0.0, 8.0):
        ray.get(sampler.set_beta.remote(beta))
        scores = ray.get(sampler.score.remote(guided.probes))
        for score, expected in zip(scores, twin(folder, guided.probes, beta), strict=True):
            np.testing.assert_allclose(score, expected, atol=2e-4)
    ray.get(sampler.set_beta.remote(ALGORITHM.beta))


def test_sampled_log_probs_are_those_of_the_guided_policy(
    guided: Fleet, checkpoint: Path, tmp_path: Path
) -> None:
    folder = saved(guided, tmp_path, checkpoint)
    context = guided.probes[0][:20]
    requests = Contexts.pack([Request(i, context, i) for i in range(32)])
    answer = guided.samplers[0].generate.remote("twin", requests, Decoding(max_tokens=3, seed=1))
    replies = [reply for _, reply in ray.get(answer).unpack()]
    rows = [np.concatenate([context, reply.ids]) for reply in replies]
    for reply, scores in zip(replies, twin(folder, rows, ALGORITHM.beta), strict=True):
        np.testing.assert_allclose(reply.logprobs, scores[len(context) - 1 :], atol=1e-4)


def test_a_killed_sampler_comes_back_with_the_values(guided: Fleet) -> None:
    sampler = guided.samplers[0]
    before = ray.get(sampler.score.remote(guided.probes))
    os.kill(ray.get(sampler.state.remote())["pid"], signal.SIGKILL)
    work = evaluation_job(guided, list(range(8)), "ilql")
    played = sum(finished.table.num_rows for finished in episodes(guided, work))
    guided.ledger.evaluated += played
    assert played == 8 and guided.ledger.open == 0
    after = ray.get(sampler.score.remote(guided.probes))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_checkpoint_is_served_as_it_is(guided: Fleet, checkpoint: Path, tmp_path: Path) -> None:
    """`lmrl evaluate checkpoint` needs nothing but the directory."""
    folder = saved(guided, tmp_path, checkpoint)
    exp = guided.experiment
    exp = replace(exp, placement=replace(exp.placement, learner_cpus=0.0))
    with launch(exp, folder, learners=False) as served:
        scores: Any = ray.get(served.samplers[0].score.remote(guided.probes))
    expected = ray.get(guided.samplers[0].score.remote(guided.probes))
    for score, right in zip(scores, expected, strict=True):
        np.testing.assert_allclose(score, right, atol=1e-5)


def test_a_learner_goes_back_to_its_checkpoint_with_its_target(
    guided: Fleet, tmp_path: Path
) -> None:
    assert guided.learners is not None
    (tmp_path / "now").mkdir()
    guided.learners.save(tmp_path / "now")
    first = teach(guided, 3)
    guided.learners.load(tmp_path / "now")
    assert teach(guided, 3)["loss"] == pytest.approx(first["loss"], rel=1e-5)


def test_probabilities_that_are_values_guide_too(
    guided: Fleet, checkpoint: Path, tmp_path: Path
) -> None:
    """Q-SFT: untrained it is the start policy; after a push vLLM and the twin agree."""
    # Without a limit of support the value of every token is the same before training.
    algorithm = QSFT(gamma=0.95, lowest=-20.0, polyak=0.1, beta=4.0, q_from="ratio", support=0.0)
    exp = replace(guided.experiment, algorithm=algorithm)
    make_guided(exp.algorithm, checkpoint, tmp_path / "start")
    with launch(exp, checkpoint, served=tmp_path / "start") as fleet:
        assert push(fleet, 0).max_abs < 1e-4
        before = ray.get(fleet.samplers[0].score.remote(fleet.probes))
        for score, expected in zip(before, twin_of_start(checkpoint, fleet.probes), strict=True):
            np.testing.assert_allclose(score, expected, atol=1e-4)
        teach(fleet, 12)
        report = push(fleet, 1)
        assert report.max_abs < 1e-4 and report.pushed_again == 0
        after = ray.get(fleet.samplers[0].score.remote(fleet.probes))
        assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) > 0.01
        folder = saved(fleet, tmp_path, checkpoint)
        for score, expected in zip(after, twin(folder, fleet.probes, 4.0), strict=True):
            np.testing.assert_allclose(score, expected, atol=1e-4)


def test_values_are_float32_where_the_models_are_bfloat16(
    guided: Fleet, checkpoint: Path, tmp_path: Path
) -> None:
    """Values near -20, weighed by 8: a head in bfloat16 rounds each of them by up to half a nat."""
    exp = guided.experiment
    algorithm = replace(ALGORITHM, beta=8.0)
    exp = replace(
        exp,
        algorithm=algorithm,
        sampler=replace(exp.sampler, dtype="bfloat16"),
        learner=replace(
            exp.learner, optimiser=replace(exp.learner.optimiser, dtype="bfloat16", lr=1e-3)
        ),
        # What the gate measures is read below: a value that is off has to be seen, not refused.
        push=replace(exp.push, tolerance=100.0),
    )
    make_guided(algorithm, checkpoint, tmp_path / "start")
    with launch(exp, checkpoint, served=tmp_path / "start") as fleet:
        push(fleet, 0)
        teach(fleet, 12)
        report = push(fleet, 1)
        assert report.max_abs < 0.05 and report.pushed_again == 0
        assert fleet.learners is not None
        (bucket,) = map(ray.get, fleet.learners.buckets(2**30))
        kinds = {meta.name.partition(".")[0]: meta.dtype for meta in bucket.metas}
        assert kinds == {"critic": "bfloat16", "q1": "float32", "q2": "float32"}
        folder = saved(fleet, tmp_path, checkpoint)
        scores = ray.get(fleet.samplers[0].score.remote(fleet.probes))
        for score, expected in zip(scores, twin(folder, fleet.probes, 8.0), strict=True):
            # Float32 throughout; the sampler's weights are rounded, its values are not.
            np.testing.assert_allclose(score, expected, atol=0.1)
