"""The plan of a run: what it trains, where it starts, and estimates of memory, time and disk."""

from pathlib import Path
from typing import Any

PROCESS_GB = {"driver": 0.7, "ray": 0.6, "learner": 1.1, "sampler": 1.9, "simulator": 0.5}
"""Memory of each process without weights and cache, in GB, as measured on a CPU."""

TRAINED_BYTES, COPIED_BYTES = 16, 4
"""Bytes of a trained parameter (weight, gradient, two moments) and of a copied one, in float32."""

SAVED_BYTES = 12
"""Bytes of a trained parameter in a checkpoint: weight and two moments."""

TURN_BYTES = 30
"""Bytes of a stored turn, compressed, as measured on a game of numbers."""


def plan(exp: Any, folder: Path, name: str | None) -> str:
    """Return the plan of a run as text.

    Args:
        exp: the `Experiment`.
        folder: run directory.
        name: name of its preset; None if there is none.
    """
    from cluster.startup.bundles import bundles, total

    source = (
        f"{exp.rollouts.turns} fresh turns an update"
        if exp.algorithm.on_policy
        else f"{exp.data.batch} episodes an update from {exp.data.path or 'data to be made'}"
    )
    reserved = bundles(exp, "cuda" if exp.placement.device == "cuda" else "cpu")
    amounts = total(bundle.resources for bundle in reserved)
    needed = " and ".join(f"{amount:g} {kind}s" for kind, amount in sorted(amounts.items()))
    found = estimates(exp, name)
    minutes = found["minutes"]
    lines = {
        "start": exp.model.path or exp.start or "random weights",
        "updates": f"{exp.updates}, {source}",
        "actors": f"{exp.learner.ranks} learner rank(s) (ZeRO {exp.learner.optimiser.zero}), "
        f"{exp.sampler.count} sampler(s), {exp.simulator.count} simulator(s): {needed}",
        "placement": f"{exp.placement.strategy}, samplers {exp.placement.samplers}, in "
        f"{len(reserved)} bundles",
        "model": f"{found['parameters'] / 1e6:.2f} million parameters, context "
        f"{exp.model.context}, at most {exp.rollouts.max_tokens} tokens an action",
        "scores": f"{exp.evaluation.episodes} episodes from seed {exp.evaluation.first_seed}",
        "memory": f"about {found['memory_gb']:.1f} GB on the machines together",
        "time": "not measured" if minutes is None else f"about {minutes:.0f} min on 2 cores",
        "disk": f"about {found['disk_gb']:.2f} GB",
        "run": str(folder),
    }
    first = f"{exp.algorithm.name} on {exp.task} {exp.options or ''}".rstrip()
    return "\n".join([first, *(f"{key:<10} {text}" for key, text in lines.items())])


def estimates(exp: Any, name: str | None) -> dict[str, Any]:
    """Return estimates of a run.

    They count weights, optimiser, caches and processes, not the activations of a batch.

    Args:
        exp: the `Experiment`.
        name: name of its preset; None if there is none.

    Returns:
        `parameters` of the policy, `memory_gb`, `disk_gb`, and `minutes` on two cores; these are
        None if the preset was not measured.
    """
    policy = parameters(exp.model)
    algorithm = exp.algorithm
    guided = algorithm.guidance is not None
    own_trunk = guided or getattr(algorithm, "critic", "") == "trunk"
    each = adapters(exp) if exp.learner.lora.rank else policy
    trained = each * (2 if getattr(algorithm, "critic", "") == "trunk" else 1)
    # With adapters the frozen model exists once, and is the reference too.
    frozen = policy if each != policy else policy * bool(algorithm.reference)
    copies = each * (algorithm.target_config is not None)
    ranks = exp.learner.ranks
    sharded = 1 if exp.learner.optimiser.zero == 3 else ranks
    kinds = exp.learner.optimiser.dtype, exp.sampler.dtype
    fixed, weight = (2 if kind == "bfloat16" else 4 for kind in kinds)
    held = trained * TRAINED_BYTES + copies * COPIED_BYTES + frozen * fixed
    learners = sharded * held / 1e9
    sampler = policy * (2 if own_trunk and guided else 1) * weight / 1e9 + exp.sampler.kv_gigabytes
    processes = {
        "driver": 1,
        "ray": 1,
        "learner": ranks,
        "sampler": exp.sampler.count,
        "simulator": exp.simulator.count,
    }
    memory = learners + exp.sampler.count * sampler
    memory += sum(PROCESS_GB[kind] * count for kind, count in processes.items())
    checkpoints = (exp.keep + 2) * trained * SAVED_BYTES / 1e9
    turns = exp.updates * exp.rollouts.turns if algorithm.on_policy else 0
    return {
        "parameters": policy,
        "memory_gb": round(memory, 2),
        "disk_gb": round(checkpoints + turns * TURN_BYTES / 1e9, 3),
        "minutes": _minutes(exp, name),
    }


def parameters(model: Any) -> int:
    """Return the number of parameters of a policy.

    Args:
        model: the `ModelConfig`; of a checkpoint the size of its files is counted.
    """
    if model.path is None:
        width, layers = model.width, model.layers
        embedded = model.vocabulary + model.lines + model.context
        return int(layers * (12 * width * width + 13 * width) + embedded * width + 2 * width)
    from learners.checkpoints.initial import shape_of

    path = Path(model.path)
    shape = shape_of(path)
    bytes_each = 4 if "32" in str(shape.get("dtype", shape.get("torch_dtype", "float32"))) else 2
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) // bytes_each


def adapters(exp: Any) -> int:
    """Return the number of parameters of adapters on every linear layer, roughly.

    Args:
        exp: the `Experiment`.
    """
    from learners.checkpoints.initial import shape_of

    shape = {} if exp.model.path is None else shape_of(Path(exp.model.path))
    width = shape.get("hidden_size", shape.get("n_embd", exp.model.width))
    inner = shape.get("intermediate_size", 4 * width)
    layers = shape.get("num_hidden_layers", shape.get("n_layer", exp.model.layers))
    return int(exp.learner.lora.rank * layers * (8 * width + 3 * (width + inner)))


def _minutes(exp: Any, name: str | None) -> float | None:
    """Return the measured minutes of a preset, in proportion to its updates.

    It is None with a model of the user's own, since the preset's is a tiny one.
    """
    from cluster.presets import known

    if name not in known() or exp.model.path is not None:
        return None
    base, measured = known()[name]
    return None if measured is None else measured.minutes * exp.updates / base.updates
