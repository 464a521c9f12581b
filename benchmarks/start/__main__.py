"""Seconds from the command to the first update of a tiny model, and what they are spent on.

    python -m benchmarks.start
    python -m benchmarks.start --quick --json

`lmrl train` runs in a process of its own and makes one update. Its time is when its line
appears in `metrics.jsonl`. The parts are those that the run itself records; `imports` is
the time before the run directory is written, and `rest` is what no part has. It writes
`results/start.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.running import arguments, child, finish, process, run, spread
from cluster.presets import preset
from cluster.source import sample_texts
from learners.checkpoints.initial import make_start
from lmrl.errors import RunError
from lmrl.runs.names import CONFIG, METRICS, SUMMARY

PRESET = "maze-fo-ppo"
FIELDS = (
    *("--updates", "1", "--options", '{"max_steps": 12}', "--rollouts.turns", "160"),
    *("--rollouts.min-episodes", "16", "--rollouts.max-episodes", "16"),
    *("--evaluation.episodes", "1", "--evaluation.random", "false"),
    *("--evaluation.start-episodes", "0"),
)
"""One update of 16 episodes, and no evaluation before it."""

PARTS = ("ray", "start_policy", "data", "launch", "push", "sample", "learn")
POLL = 0.02
"""Time between two looks at the run directory, in seconds."""


def first_line(path: Path) -> bool:
    """Return whether a file has a whole line."""
    return path.exists() and "\n" in path.read_text()


def split(begun: float, prepared: float, updated: float, seconds: dict[str, float]) -> Any:
    """Return the seconds to the first update, and its parts.

    Args:
        begun: time of the command.
        prepared: time at which the run directory was written.
        updated: time at which the first update was recorded.
        seconds: seconds of the run's phases.
    """
    parts = {"imports": prepared - begun} | {p: seconds[p] for p in PARTS if p in seconds}
    total = updated - begun
    return {"total": total, **parts, "rest": total - sum(parts.values())}


def measure(policy: Path, folder: Path, seed: int) -> Any:
    """Run a training and return its seconds.

    Args:
        policy: checkpoint directory of the start policy.
        folder: run directory.
        seed: seed of the run.
    """
    command = [sys.executable, "-m", "lmrl", "train", PRESET, "--run-dir", str(folder)]
    command += ["--model.path", str(policy), "--seed", str(seed), *FIELDS]
    begun = time.time()
    prepared = updated = 0.0
    with child(command, stdout=subprocess.DEVNULL) as training:
        while not updated:
            if training.poll() is not None and not first_line(folder / METRICS):
                raise RunError(f"'{' '.join(command)}' ended with {training.returncode}")
            if not prepared and (folder / CONFIG).exists():
                prepared = time.time()
            if first_line(folder / METRICS):
                updated = time.time()
            time.sleep(POLL)
        if training.wait():
            raise RunError(f"'{' '.join(command)}' ended with {training.returncode}")
    summary = json.loads((folder / SUMMARY).read_text())
    return split(begun, prepared, updated, summary["seconds"])


def listing(arguments: list[str]) -> float:
    """Return the seconds of a call of `lmrl` that starts nothing."""
    began = time.perf_counter()
    process([sys.executable, "-m", "lmrl", *arguments])
    return time.perf_counter() - began


def main(options: argparse.Namespace) -> None:
    """Measure, and write the result."""
    with tempfile.TemporaryDirectory() as home:
        policy = Path(home) / "policy"
        exp = preset(PRESET)
        make_start(exp.model, sample_texts(exp), policy, seed=0)
        rows = [
            measure(policy, Path(home) / f"run-{repeat}", options.seed)
            for repeat in range(options.repeats)
        ]
        listed = [listing(["train", "--list"]) for _ in range(options.repeats)]
    total = [row["total"] for row in rows]
    figures = {
        "ratios": {"start: command to first update, tiny model": median(total)},
        "seconds": spread(total),
        "parts": {name: median(row.get(name, 0.0) for row in rows) for name in rows[0]},
        "train_list_seconds": spread(listed),
        "rows": rows,
    }
    command = f"python -m benchmarks.start --repeats {options.repeats} --seed {options.seed}"
    finish("start", command, figures, options)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="number of runs")
    options = parser.parse_args()
    if options.quick:
        options.repeats = 1
    return options


if __name__ == "__main__":
    sys.exit(run(partial(main, read_options())))
