"""Offline learning with several seeds: the same data and the same start policy for each algorithm.

    python -m benchmarks.offline --task maze-fo --algorithms filtered-bc mc ilql --seeds 0 1 2

runs the presets `TASK-ALGORITHM`, each as `lmrl train` in its own process, and writes
`results/offline-TASK.json`. For each seed the first run makes the data and the cloned start policy,
which are copied to the others. With `--temperatures 0 0.5` the start policy is scored at these
temperatures too, on the same episodes: values sharpen a policy, and so does a low temperature.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.record import save, train
from cluster.presets import preset
from lmrl.runs.log import RunLog
from lmrl.runs.names import DATA, LAST, SCORES, START, checkpoint


def one(name: str, seed: int, folder: Path, first: Path | None, *fields: str) -> dict[str, Any]:
    """Run a preset and return its scores and seconds.

    Args:
        name: name of the preset.
        seed: seed of the run.
        folder: run directory.
        first: directory of a finished run with the same seed, whose data and start policy are
            copied; None makes them.
        fields: further arguments that change fields.
    """
    if first is not None:
        with RunLog(folder).locked():
            for part in (START, DATA):
                if (first / part).exists():
                    shutil.copytree(first / part, folder / part, symlinks=True)
    summary, wall = train(name, seed, folder, *fields)
    lines = (folder / SCORES).read_text().splitlines()
    curve = [
        (row["update"], row["return_mean"])
        for row in map(json.loads, lines)
        if row.get("selecting")
    ]
    return {
        "preset": name,
        "seed": seed,
        "wall_seconds": round(wall, 1),
        "start_made_here": first is None,
        "episodes": next(iter(summary["scores"].values()))["episodes"],
        "scores": {policy: _figures(score) for policy, score in summary["scores"].items()},
        "curve": curve,
        "parity": summary["parity"]["max_abs"],
    }


def sharpened(name: str, seed: int, run: Path, temperatures: list[float]) -> list[dict[str, Any]]:
    """Return scores of a run's start policy at other temperatures, on the run's episodes.

    Args:
        name: name of the preset.
        seed: seed of the run.
        run: run directory.
        temperatures: sampling temperatures.
    """
    exp = preset(name)
    start = checkpoint(run / START, LAST).resolve()
    command = [sys.executable, "-m", "lmrl", "evaluate", "checkpoint", str(start)]
    command += ["--task", exp.task, "--options", json.dumps(exp.options), "--json"]
    command += ["--episodes", str(exp.evaluation.episodes)]
    command += ["--first-seed", str(exp.evaluation.first_seed)]
    command += ["--max-tokens", str(exp.rollouts.max_tokens)]
    found = []
    for temperature in temperatures:
        output = subprocess.run(
            [*command, "--temperature", str(temperature)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        score = json.loads(output[output.index("{") :])
        found.append({"seed": seed, "temperature": temperature, **_figures(score)})
    return found


def _figures(score: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in score.items() if k in ("return_mean", "ci95", "normalised")}


def main() -> None:
    """Run all presets and seeds, and write the result after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="maze-fo", help="name of the task")
    parser.add_argument(
        "--algorithms",
        nargs="+",
        default=["filtered-bc", "mc", "ilql"],
        help="algorithms, as in the names of the presets TASK-ALGORITHM",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds to run")
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="*",
        default=[],
        help="temperatures at which the start policy is scored too",
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of seeds that run at one time")
    parser.add_argument("--name", help="name of the result (offline-TASK)")
    options = parser.parse_args()
    name = options.name or f"offline-{options.task}"
    command = (
        f"python -m benchmarks.offline --task {options.task} "
        f"--algorithms {' '.join(options.algorithms)} "
        f"--seeds {' '.join(map(str, options.seeds))}"
    )
    if options.temperatures:
        command += f" --temperatures {' '.join(f'{t:g}' for t in options.temperatures)}"
    if options.jobs > 1:
        command += f" --jobs {options.jobs}"
    runs: list[dict[str, Any]] = []
    starts: list[dict[str, Any]] = []
    writing = Lock()

    def record() -> None:
        runs.sort(key=lambda run: (run["seed"], options.algorithms.index(run["algorithm"])))
        starts.sort(key=lambda start: (start["seed"], start["temperature"]))
        save(
            name,
            command,
            {"task": options.task, "jobs": options.jobs, "runs": runs, "start_at": starts},
        )

    def seed_of(seed: int, home: Path) -> None:
        first: Path | None = None
        for algorithm in options.algorithms:
            chosen = f"{options.task}-{algorithm}"
            folder = home / f"{chosen}-{seed}"
            run = one(chosen, seed, folder, first)
            extra = [] if first else sharpened(chosen, seed, folder, options.temperatures)
            first = first or folder
            with writing:
                runs.append({"algorithm": algorithm, **run})
                starts.extend(extra)
                print(json.dumps(runs[-1]), flush=True)
                record()

    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(seed_of, seed, Path(home)) for seed in options.seeds]:
            done.result()


if __name__ == "__main__":
    main()
