"""Online learning with several seeds: each algorithm from the same start policy.

    python -m benchmarks.online --task maze-fo --algorithms ppo rloo grpo --seeds 0 1 2

runs the presets `TASK-ALGORITHM`, each as `lmrl train` in its own process, and writes
`results/online-TASK.json` after every run. For each seed the first run makes the cloned start
policy, which is copied to the others. Presets of a task have equal rounds, so that scores can be
compared at equal numbers of turns; the result has the turns of every update. `--fields` changes
fields of all runs, for example `--fields --updates 2` for a short trial.
"""

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.offline import one
from benchmarks.record import save
from lmrl.runs.names import METRICS


def curve(folder: Path) -> list[dict[str, float]]:
    """Return mean return, mean length and number of turns of each update of a run.

    The number of turns counts all updates up to this one.

    Args:
        folder: run directory.
    """
    found: list[dict[str, float]] = []
    turns = 0.0
    for row in map(json.loads, (folder / METRICS).read_text().splitlines()):
        if "rollout/episodes" not in row:
            continue
        turns += row["rollout/episodes"] * row["rollout/length_mean"]
        found.append(
            {
                "update": row["update"],
                "turns": round(turns),
                "return_mean": round(row["rollout/return_mean"], 3),
                "entropy": round(row["train/entropy"], 4),
            }
        )
    return found


def main() -> None:
    """Run all presets and seeds, and write the result after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="maze-fo", help="name of the task")
    parser.add_argument(
        "--algorithms",
        nargs="+",
        default=["ppo", "turn-ppo", "archer", "rloo", "grpo", "gspo", "gigpo"],
        help="algorithms, as in the names of the presets TASK-ALGORITHM",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds to run")
    parser.add_argument("--jobs", type=int, default=1, help="number of seeds that run at one time")
    parser.add_argument("--name", help="name of the result (online-TASK)")
    parser.add_argument(
        "--fields", nargs=argparse.REMAINDER, default=[], help="fields to change, as of lmrl train"
    )
    options = parser.parse_args()
    command = (
        f"python -m benchmarks.online --task {options.task} "
        f"--algorithms {' '.join(options.algorithms)} "
        f"--seeds {' '.join(map(str, options.seeds))}"
    )
    if options.jobs > 1:
        command += f" --jobs {options.jobs}"
    if options.fields:
        command += f" --fields {' '.join(options.fields)}"
    runs: list[dict[str, Any]] = []
    writing = Lock()

    def seed_of(seed: int, home: Path) -> None:
        first: Path | None = None
        for algorithm in options.algorithms:
            chosen = f"{options.task}-{algorithm}"
            folder = home / f"{chosen}-{seed}"
            run = one(chosen, seed, folder, first, *options.fields)
            first = first or folder
            rounds = curve(folder)
            with writing:
                runs.append({"algorithm": algorithm, **run, "rounds": rounds})
                runs.sort(key=lambda run: (run["seed"], options.algorithms.index(run["algorithm"])))
                print(json.dumps({k: v for k, v in run.items() if k != "rounds"}), flush=True)
                save(
                    options.name or f"online-{options.task}",
                    command,
                    {"task": options.task, "jobs": options.jobs, "runs": runs},
                )

    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(seed_of, seed, Path(home)) for seed in options.seeds]:
            done.result()


if __name__ == "__main__":
    main()
