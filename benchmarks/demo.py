"""The demo with several seeds: BC and then PPO in the fully observed maze, with scores and times.

    python -m benchmarks.demo --seeds 0 1 2

runs the preset `maze-fo-ppo` once per seed, each as `lmrl train` in its own process, and writes
`results/demo.json`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import save, train
from lmrl.runs.names import METRICS


def run(preset: str, seed: int, folder: Path) -> dict[str, Any]:
    """Run a preset and return its summary, its returns by update, and its speeds and times.

    Args:
        preset: name of the preset.
        seed: seed of the run.
        folder: run directory.
    """
    summary, wall = train(preset, seed, folder)
    lines = [json.loads(line) for line in (folder / METRICS).open()]

    def mean(name: str) -> float:
        return sum(float(line[name]) for line in lines) / len(lines)

    return {
        "seed": seed,
        "wall_seconds": round(wall, 1),
        **{key: summary[key] for key in ("scores", "parity", "ledger", "seconds")},
        "curve": [round(line["rollout/return_mean"], 2) for line in lines],
        "sampler_turns_per_s": round(mean("rollout/turns_per_s"), 1),
        "sampler_tokens_per_s": round(mean("rollout/tokens_per_s"), 1),
        "learner_tokens_per_s": round(mean("train/tokens_per_s"), 1),
        "push_ms": round(mean("push/push_ms"), 2),
        "gate_ms": round(mean("push/gate_ms"), 2),
    }


def main() -> None:
    """Run the seeds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds to run")
    parser.add_argument("--preset", default="maze-fo-ppo", help="name of the preset")
    parser.add_argument("--name", default="demo", help="name of the result")
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    command = f"python -m benchmarks.demo --preset {options.preset} --name {options.name} --seeds"
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            runs.append(run(options.preset, seed, Path(folder) / f"seed-{seed}"))
            print(json.dumps({k: v for k, v in runs[-1].items() if k in ("seed", "wall_seconds")}))
            # After every seed, so that an interrupted benchmark keeps its results so far.
            done = " ".join(str(row["seed"]) for row in runs)
            path = save(options.name, f"{command} {done}", {"preset": options.preset, "runs": runs})
    print(path)


if __name__ == "__main__":
    main()
