"""The resources that a run asks Ray for."""

from cluster.experiment import Experiment


def bundles(exp: Experiment, device: str, learners: bool = True) -> list[dict[str, float]]:
    """Return the resources of each actor: learner ranks, samplers, oracles, simulators.

    Args:
        exp: experiment of the run.
        device: `cpu` or `cuda`.
        learners: whether there is a learner group.
    """
    place = exp.placement

    def bundle(cpus: float, gpus: float = 0.0) -> dict[str, float]:
        return {"CPU": cpus} | ({"GPU": gpus} if device == "cuda" and gpus else {})

    ranks = exp.learner.ranks if learners else 0
    # NCCL refuses two ranks on one GPU.
    learner_gpus = max(1.0, place.learner_gpus) if ranks > 1 else place.learner_gpus
    served = exp.oracle.sampler.count if exp.oracle.served else 0
    return (
        [bundle(place.learner_cpus, learner_gpus)] * ranks
        + [bundle(place.sampler_cpus, place.sampler_gpus)] * exp.sampler.count
        + [bundle(exp.oracle.cpus, exp.oracle.gpus)] * served
        + [bundle(place.simulator_cpus)] * exp.simulator.count
    )
