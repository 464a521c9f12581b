"""An instruct model with its chat template, from zero-shot over cloning to online learning.

    python -m benchmarks.chat --model models/smollm2 --task maze-fo --online grpo --seeds 0 1 2

runs, for each seed, `lmrl train bc` from the checkpoint and then, for the first `--online-seeds`
seeds, an online algorithm from the clone, each in its own process. The zero-shot score is that of
the checkpoint itself. It writes `results/chat-TASK.json` after every run: return of each stage with
a 95 % interval, wall seconds, peak memory of learner and sampler, and tokens per second.
"""

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.record import save, train
from lmrl.runs.names import LAST, METRICS, checkpoint


def stage(
    name: str, seed: int, folder: Path, task: str, model: Path, fields: list[str]
) -> dict[str, Any]:
    """Run an algorithm from a checkpoint and return its figures.

    Args:
        name: name of the algorithm.
        seed: seed of the run.
        folder: run directory.
        task: name of the task.
        model: checkpoint directory to start from.
        fields: further arguments of `lmrl train`.
    """
    own = ["--task", task, "--model.path", str(model), *fields]
    summary, wall = train(name, seed, folder, *own)
    rows = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return {
        "stage": name,
        "seed": seed,
        "wall_seconds": round(wall, 1),
        "scores": {
            policy: {key: score[key] for key in ("return_mean", "ci95", "normalised", "episodes")}
            for policy, score in summary["scores"].items()
        },
        "seconds": summary["seconds"],
        "peak_memory_gb": {
            role: summary[role]["peak_memory_gb"] for role in ("learner", "sampler")
        },
        "peak_gpu_memory_gb": summary["learner"]["peak_gpu_memory_gb"],
        "learner_tokens_per_s": _mean(rows, "train/tokens_per_s"),
        "sampler_tokens_per_s": _mean(rows, "rollout/tokens_per_s"),
        "curve": [round(row["rollout/return_mean"], 3) for row in rows if _online(row)],
        "malformed": [round(row["rollout/malformed_actions"], 4) for row in rows if _online(row)],
        "parity": summary["parity"]["max_abs"],
    }


def _online(row: dict[str, Any]) -> bool:
    return "rollout/return_mean" in row


def _mean(rows: list[dict[str, Any]], name: str) -> float | None:
    found = [row[name] for row in rows if name in row]
    return round(sum(found) / len(found), 1) if found else None


def main() -> None:
    """Run all stages and seeds, and write the result after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint directory")
    parser.add_argument("--task", default="maze-fo", help="name of the task")
    parser.add_argument("--online", default="ppo", help="online algorithm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds to clone")
    parser.add_argument(
        "--online-seeds", type=int, default=1, help="number of seeds that learn online too"
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of seeds that run at one time")
    parser.add_argument("--name", help="name of the result (chat-TASK)")
    parser.add_argument("--shared", default="", help="fields of all runs, as of lmrl train")
    parser.add_argument("--bc-fields", default="", help="fields of the cloning")
    parser.add_argument("--online-fields", default="", help="fields of the online algorithm")
    options = parser.parse_args()
    words = {
        "--task": options.task,
        "--online": options.online,
        "--seeds": " ".join(map(str, options.seeds)),
        "--online-seeds": options.online_seeds,
        "--jobs": options.jobs,
        "--shared": f"'{options.shared}'",
        "--bc-fields": f"'{options.bc_fields}'",
        "--online-fields": f"'{options.online_fields}'",
    }
    arguments = " ".join(f"{name} {value}" for name, value in words.items())
    command = f"python -m benchmarks.chat --model {options.model.name} {arguments}"
    runs: list[dict[str, Any]] = []
    shared = options.shared.split()
    writing = Lock()

    def chain(number: int, seed: int, home: Path) -> None:
        clone = home / f"bc-{seed}"
        fields = [*shared, *options.bc_fields.split()]
        if number:  # the checkpoint is the same for every seed, and so is its score
            fields += ["--evaluation.start-episodes", "0"]
        plan = [("bc", clone, options.model.resolve(), fields)]
        if number < options.online_seeds:
            start = checkpoint(clone, LAST)
            online = [*shared, *options.online_fields.split()]
            plan.append((options.online, home / f"online-{seed}", start, online))
        for name, folder, model, given in plan:
            run = stage(name, seed, folder, options.task, model, given)
            with writing:
                runs.append(run)
                runs.sort(key=lambda run: run["seed"])
                print(json.dumps(run), flush=True)
                figures = {"task": options.task, "model": options.model.name, "runs": runs}
                save(options.name or f"chat-{options.task}", command, figures)

    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(options.jobs) as pool:
        chains = [
            pool.submit(chain, number, seed, Path(home))
            for number, seed in enumerate(options.seeds)
        ]
        for done in chains:
            done.result()


if __name__ == "__main__":
    main()
