"""Offline learning in several seeds: the same data and the same start policy for each algorithm.

    python -m benchmarks.offline --task maze-fo --algorithms filtered-bc mc ilql --seeds 0 1 2

runs the presets `TASK-ALGORITHM`, each as `lmrl train` in a process of its own, and writes
`results/offline-TASK.json`. Within a seed data and cloned start policy are made once, by the first
run, and copied to the others.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import save, train


def one(preset: str, seed: int, folder: Path, first: Path | None) -> dict[str, Any]:
    """Run a preset and return its scores and seconds.

    Args:
        preset: name.
        seed: of the run.
        folder: of the run.
        first: a finished run of the same seed whose data and start policy are taken over.
    """
    if first is not None:
        for part in ("start", "data"):
            if (first / part).exists():
                shutil.copytree(first / part, folder / part, symlinks=True)
    summary, wall = train(preset, seed, folder)
    scores = {
        name: {k: v for k, v in score.items() if k in ("return_mean", "ci95", "normalised")}
        for name, score in summary["scores"].items()
    }
    lines = (folder / "scores.jsonl").read_text().splitlines()
    curve = [
        (row["update"], row["return_mean"])
        for row in map(json.loads, lines)
        if row.get("selecting")
    ]
    return {
        "preset": preset,
        "seed": seed,
        "wall_seconds": round(wall, 1),
        "start_made_here": first is None,
        "episodes": next(iter(summary["scores"].values()))["episodes"],
        "scores": scores,
        "curve": curve,
        "parity": summary["parity"]["max_abs"],
    }


def main() -> None:
    """Run all and write the result, anew after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="maze-fo")
    parser.add_argument("--algorithms", nargs="+", default=["filtered-bc", "mc", "ilql"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--name", help="of the result (offline-TASK)")
    options = parser.parse_args()
    name = options.name or f"offline-{options.task}"
    command = (
        f"python -m benchmarks.offline --task {options.task} "
        f"--algorithms {' '.join(options.algorithms)} "
        f"--seeds {' '.join(map(str, options.seeds))} --name {name}"
    )
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        for seed in options.seeds:
            first: Path | None = None
            for algorithm in options.algorithms:
                preset = f"{options.task}-{algorithm}"
                folder = Path(home) / f"{preset}-{seed}"
                runs.append(one(preset, seed, folder, first))
                first = first or folder
                print(json.dumps(runs[-1]), flush=True)
                save(name, command, {"task": options.task, "runs": runs})


if __name__ == "__main__":
    main()
