"""Which bundles a run asks Ray for, which of them cannot be placed, and what is said then."""

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("ray")

from cluster.experiment import Experiment
from cluster.presets import preset
from cluster.startup.bundles import Bundle, bundles, check_placement
from cluster.startup.node_facts import node_facts, source_digest
from cluster.startup.preflight import Node, choose_device
from lmrl.errors import UsageError

GIB = 2.0**30


def run(ranks: int = 1, count: int = 1, parallel: int = 1, **placement: Any) -> Experiment:
    """Return a run with `count` samplers and one simulator."""
    exp = preset("maze-fo-ppo")
    return replace(
        exp,
        learner=replace(exp.learner, ranks=ranks),
        sampler=replace(exp.sampler, count=count, tensor_parallel=parallel),
        placement=replace(exp.placement, **placement),
    )


def gpus(found: list[Bundle]) -> dict[str, float]:
    return {str(b): b.resources["GPU"] for b in found if "GPU" in b.resources}


def node(cpus: float, gpus: float = 0.0, name: str = "10.0.0.1") -> Node:
    return Node(name, {"CPU": cpus, "GPU": gpus, "memory": 8 * GIB})


def refused(exp: Experiment, *nodes: Node) -> str:
    with pytest.raises(UsageError) as error:
        choose_device(exp, nodes)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("ranks", "share"), [(1, 0.5), (2, 1.0)])
def test_several_learner_ranks_have_whole_gpus(ranks: int, share: float) -> None:
    """NCCL refuses two ranks on one GPU."""
    wanted = {f"learner rank {rank}": share for rank in range(ranks)} | {"sampler 0": 0.5}
    assert gpus(bundles(run(ranks), "cuda")) == wanted
    assert not gpus(bundles(run(ranks), "cpu"))


def test_colocated_samplers_share_the_gpu_of_a_rank() -> None:
    """Samplers go round the ranks; each asks for its share of what the bundle reserves."""
    found = bundles(run(2, 3, samplers="colocated", sampler_gpus=0.25), "cuda")
    assert gpus(found) == {
        "learner rank 0 with sampler 0 with sampler 2": 1.0,
        "learner rank 1 with sampler 1": 1.0,
    }
    assert [actor.resources["GPU"] for actor in found[0].actors] == [0.5, 0.25, 0.25]
    # A checkpoint that is only evaluated has no learners to be with.
    alone = bundles(run(samplers="colocated"), "cuda", learners=False)
    assert gpus(alone) == {"sampler 0": 0.5}


def test_an_engine_over_several_gpus_has_whole_ones() -> None:
    assert gpus(bundles(run(parallel=4), "cuda"))["sampler 0"] == 4.0


@pytest.mark.parametrize(
    ("exp", "sentence"),
    [
        (run(sampler_gpus=1.5), r"placement.sampler_gpus is 1.5"),
        (run(learner_gpus=2.25), r"placement.learner_gpus is 2.25"),
        (run(sampler_cpus=0.0, sampler_gpus=0.0), r"raise placement.sampler_cpus"),
        (run(learner_cpus=0.0, learner_gpus=0.0), r"raise placement.learner_cpus"),
    ],
)
def test_shares_that_cannot_be_given_are_refused_before_ray_starts(
    exp: Experiment, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_placement(exp, "cuda")
    with pytest.raises(UsageError, match=sentence):
        replace(exp, placement=replace(exp.placement, device="cuda")).check()


@pytest.mark.parametrize(
    ("exp", "reserved"),
    [
        (run(1, 1, samplers="colocated", sampler_gpus=0.25), 0.75),
        (run(1, 2, samplers="colocated"), 2.0),  # 0.5 + 0.5, 0.5
        (run(1, 2, samplers="colocated", sampler_gpus=0.6), 3.0),  # no two of them on one GPU
        (run(1, 1, 2, samplers="colocated"), 3.0),  # two whole ones, and one for the rank
    ],
)
def test_a_bundle_of_several_actors_has_a_share_of_one_gpu_or_whole_ones(
    exp: Experiment, reserved: float
) -> None:
    """Ray gives a bundle no 1.5 GPUs, and an actor no share that lies on two GPUs."""
    assert list(gpus(bundles(exp, "cuda")).values()) == [reserved]


def test_an_engine_divides_the_heads_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    exp = run(parallel=3)
    with pytest.raises(UsageError, match=r"3 does not divide the model's \d+ attention heads"):
        exp.check()
    run(parallel=2).check()
    # Worker processes know our model and weight transfer by the entry point of the package.
    monkeypatch.setattr("actors.plugin.entry_points", lambda group: [])
    with pytest.raises(UsageError, match="not installed here as a package"):
        run(parallel=2).check()


def test_a_run_without_learners_needs_nothing_for_them() -> None:
    check_placement(run(learner_cpus=0.0), "cpu", learners=False)


def test_resources_that_are_too_few_in_total_are_named() -> None:
    """One rank has 0.5 CPUs and each sampler 1, so that the fourth finds no space."""
    said = refused(run(count=9), node(2), node(2, name="10.0.0.2"))
    assert said.startswith(
        "sampler 3 cannot be placed: it needs 1 CPU, and the run needs 9.75 CPUs in total where "
        "Ray has 4; the nodes have 2 CPUs (10.0.0.1), 2 CPUs (10.0.0.2). Lower"
    )


def test_a_bundle_larger_than_every_node_is_named() -> None:
    exp = run(2, device="cuda", learner_cpus=3.0, sampler_cpus=0.25)
    nodes = [node(4, 1), node(2.5, 2, "10.0.0.2")]
    assert "learner rank 1 cannot be placed: it needs 3 CPUs and 1 GPU on one node" in refused(
        exp, *nodes
    )
    assert choose_device(exp, [node(4, 2), node(4, 2)]) == "cuda"


def test_bundles_that_fit_in_total_and_not_on_the_nodes_are_named() -> None:
    """Three ranks of 2 CPUs have 6 in total, and two nodes of 3.5 hold one each."""
    said = refused(run(3, learner_cpus=2.0, sampler_cpus=0.5), *[node(3.5)] * 2)
    assert "learner rank 2 cannot be placed" in said and "the nodes hold 2 of such" in said
    assert "3.5 CPUs (10.0.0.1, 2 of them)" in said


def test_samplers_apart_need_a_node_without_a_rank() -> None:
    exp = run(count=2, samplers="apart")
    assert "on nodes without a learner rank (placement.samplers apart)" in refused(exp, node(8))
    assert "sampler 0 cannot be placed" in refused(exp, node(8), node(0.25))
    assert choose_device(exp, [node(8), node(2)]) == "cpu"


def test_nodes_of_an_autoscaler_count() -> None:
    exp = run(device="cuda")
    assert "0 GPUs" not in refused(exp, node(1))
    assert choose_device(exp, [node(1), Node("node of group gpu", {"CPU": 8, "GPU": 1})]) == "cuda"


def test_a_device_is_chosen_by_what_the_nodes_have() -> None:
    assert choose_device(run(), [node(4)]) == "cpu"
    assert choose_device(run(), [node(4), node(4, 1)]) == "cuda"


def test_a_node_reports_its_versions_and_our_source() -> None:
    versions = node_facts().versions
    assert set(versions) > {"python", "ray", "torch", "vllm", "deepspeed", "transformers"}
    assert versions["lmrl source"] == source_digest() and len(source_digest()) == 12
    assert "+" not in versions["torch"]
