"""Training of tiny models of every architecture, with the parity of sampler and learner.

    python -m benchmarks.models --json
    python -m benchmarks.models --quick

Each model is made from a configuration in code, with random weights. It is trained by two updates
of PPO and two of ILQL on the maze, through Ray, vLLM and DeepSpeed. After every push the parity
gate compares the log-probabilities of sampler and learner. Architectures that vLLM cannot serve
have to be refused before an actor starts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.models.architectures import ARCHITECTURES, REFUSED, make_model, texts_tokenizer
from benchmarks.record import save

Device = Literal["cpu", "cuda"]
ALGORITHMS = ("ppo", "ilql")
QUICK = ("llama-tied", "gemma2", "phi", "gpt-neo")
UPDATES = 2
LIMIT = 1e-3
"""Largest difference of log-probabilities that counts as agreement, in nats."""


def experiment(algorithm: str, checkpoint: Path, device: Device) -> Any:
    """Return a training of two small updates.

    Args:
        algorithm: name of the algorithm.
        checkpoint: checkpoint directory of the start policy.
        device: `cpu` or `cuda`.
    """
    from cluster.presets import preset

    exp = preset(f"maze-fo-{algorithm}")
    return replace(
        exp,
        start=None,
        start_fields={},
        updates=UPDATES,
        save_every=0,
        model=replace(exp.model, path=str(checkpoint), context=96),
        data=replace(exp.data, path=None, episodes=8, player="random", batch=4),
        rollouts=replace(exp.rollouts, turns=64, min_episodes=4, max_episodes=8),
        evaluation=replace(exp.evaluation, episodes=4, start_episodes=0, every=0, random=False),
        options={**exp.options, "max_steps": 8},
        # A difference is a result here, not an error.
        push=replace(exp.push, tolerance=100.0),
        placement=replace(exp.placement, device=device),
        sampler=replace(exp.sampler, gpu_memory=0.05),  # several may share a GPU
    )


def measure(name: str, algorithm: str, home: Path, device: Device) -> dict[str, Any]:
    """Train a model; return what came of it.

    Args:
        name: name of the architecture.
        algorithm: name of the algorithm.
        home: folder with the checkpoint, in which the run directory is made.
        device: `cpu` or `cuda`.

    Returns:
        `updates`, `parity` (the largest difference after any push, in nats), `seconds`, and
        `result`: `passed`, `refused` or `failed`, with its `reason`.
    """
    from cluster.train import train
    from lmrl.errors import UsageError
    from lmrl.runs.log import RunLog

    began = time.perf_counter()
    found: dict[str, Any] = {"updates": 0, "parity": None, "reason": ""}
    try:
        exp = experiment(algorithm, home / name, device)
        summary = train(exp, RunLog(home / f"{name}-{algorithm}"))
    except UsageError as error:
        found |= {"result": "refused", "reason": str(error).replace(str(home), "models")}
    except Exception as error:  # whatever an architecture breaks is a result
        first = str(error).strip().split("\n")[0].replace(str(home), "models")
        found |= {"result": "failed", "reason": f"{type(error).__name__}: {first}"}
    else:
        parity = float(summary["parity"]["max_abs"])
        found |= {"updates": UPDATES, "parity": parity}
        agrees = parity < LIMIT
        found["result"] = "passed" if agrees else "failed"
        found["reason"] = "" if agrees else f"sampler and learner differ by {parity:.3g} nats"
    return found | {"seconds": round(time.perf_counter() - began, 1)}


def share(results: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the share of trainings that passed, of those that vLLM serves."""
    served = [
        outcome["result"] == "passed"
        for name, result in results.items()
        if name not in REFUSED
        for outcome in result.values()
    ]
    return sum(map(int, served)) / max(len(served), 1)


def measure_all(names: Sequence[str], device: Device, quiet: bool) -> dict[str, Any]:
    """Train each architecture with each algorithm; return results by name and algorithm.

    Args:
        names: names of the architectures.
        device: `cpu` or `cuda`.
        quiet: whether nothing is printed.
    """
    from cluster.source import sample_texts
    from cluster.startup.ray_session import ray_session

    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, ray_session():
        home = Path(folder)
        tokenizer = texts_tokenizer(sample_texts(experiment("ppo", home, device)))
        for name in names:
            (home / name).mkdir()
            make_model(name, home / name, tokenizer)
            results[name] = {
                algorithm: measure(name, algorithm, home, device) for algorithm in ALGORITHMS
            }
            if not quiet:
                for algorithm, outcome in results[name].items():
                    print(f"{name:<20} {algorithm:<5} {outcome}", flush=True)
    return results


def in_processes(names: Sequence[str], device: Device, jobs: int) -> dict[str, Any]:
    """Measure each architecture in a process of its own, `jobs` at one time."""

    def one(name: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.models", "--models", name]
        command += ["--device", device, "--json", "--name", ""]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        # Trainings print their lines before it.
        found: dict[str, Any] = json.loads(done.stdout[f"\n{done.stdout}".rindex("\n{\n") :])
        return dict(found["models"])

    with ThreadPoolExecutor(jobs) as pool:
        return {name: found for part in pool.map(one, names) for name, found in part.items()}


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(ARCHITECTURES), default=None)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--name", default="models", help="name of the result; empty writes no result"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    options = parser.parse_args()
    chosen = options.models or (QUICK if options.quick else tuple(ARCHITECTURES))
    if options.jobs > 1:
        results = in_processes(chosen, options.device, options.jobs)
    else:
        results = measure_all(chosen, options.device, options.json)
    figures = {"limit": LIMIT, "share_passed": share(results), "models": results}
    if options.json:
        print(json.dumps(figures, indent=2))
    if options.name and not options.quick and options.models is None:
        save(options.name, f"python -m benchmarks.models --device {options.device}", figures)
