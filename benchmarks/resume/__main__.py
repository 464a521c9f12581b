"""Runs whose driver is killed by `kill -9` and that go on, against unbroken ones.

    python -m benchmarks.resume --trials 20 --json
    python -m benchmarks.resume --quick

Each trial starts one of `CASES` as `lmrl train --resume auto`, kills its driver at a random moment
between the start of the command and the time that the unbroken run took, and gives the same command
again. The trial is equal if the metrics of every update, the weights, the scores and the ledger are
those of the unbroken run, bit by bit, and each update has one line. It writes
`results/resume.json` after each trial, and exits with 1 if a trial differs.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.record import save
from benchmarks.resume.curve import curve, lines
from benchmarks.running import arguments, child, emit, run
from cluster.presets import preset
from cluster.source import sample_texts
from learners.checkpoints.initial import make_start
from lmrl.errors import RunError
from lmrl.runs.names import LAST, SCORES, SUMMARY, checkpoint

SMALL = (
    *("--options", '{"max_steps": 12}', "--evaluation.episodes", "8"),
    *("--evaluation.random", "false", "--evaluation.start-episodes", "0"),
    *("--evaluation.every-episodes", "8"),
)
"""Fields with which a run takes less than a minute."""

ONLINE = (
    *("--updates", "12", "--save-every", "3", "--evaluation.every", "4", "--rollouts.turns", "160"),
    *("--rollouts.min-episodes", "16", "--rollouts.max-episodes", "32"),
)

OFFLINE = ("--updates", "300", "--save-every", "50", "--evaluation.every", "100")

CASES = {
    "ppo with cloning": (
        *("maze-fo-ppo", *ONLINE, "--algorithm.bc-coef", "0.1", "--data.path", "DATA"),
    ),
    "online ilql": ("maze-fo-online-ilql", *ONLINE, "--data.path", "DATA"),
    "grpo": ("maze-fo-grpo", *ONLINE),
    "ilql": ("maze-fo-ilql", *OFFLINE, "--data.path", "DATA"),
}
"""Preset and fields of each case: a cloning term, replay, groups, and a data set with targets."""


def started(folder: Path, fields: list[str]) -> AbstractContextManager[subprocess.Popen[str]]:
    """Begin a run, or go on with it; its process ends with the block.

    Args:
        folder: run directory.
        fields: preset and fields.
    """
    command = [sys.executable, "-m", "lmrl", "train", *fields, "--run-dir", str(folder)]
    nothing = subprocess.DEVNULL
    return child([*command, "--resume", "auto"], stdout=nothing, stderr=nothing)


def whole_run(folder: Path, fields: list[str]) -> int:
    """Begin a run or go on with it, and return the exit status at its end."""
    with started(folder, fields) as process:
        return process.wait()


def result(folder: Path) -> dict[str, Any]:
    """Return what a run has computed: metrics, scores, ledger, and a digest of its weights."""
    scores = [json.loads(line) for line in (folder / SCORES).read_text().splitlines()]
    summary = json.loads((folder / SUMMARY).read_text())
    weights = (checkpoint(folder, LAST) / "model.safetensors").read_bytes()
    # An episode that was being played is given to a simulator again.
    ledger = {name: n for name, n in summary["ledger"].items() if name != "resubmitted"}
    return {
        "curve": curve(folder),
        "scores": scores,
        "ledger": ledger,
        "weights": hashlib.sha256(weights).hexdigest(),
    }


def differences(whole: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of the parts of two results that differ."""
    return [name for name in whole if whole[name] != other[name]]


def trial(fields: list[str], folder: Path, moment: float) -> dict[str, Any]:
    """Kill a run at a moment, go on with it, and return facts about it.

    Args:
        fields: preset and fields.
        folder: run directory.
        moment: time after the start of the command, in seconds.
    """
    left = 0
    with started(folder, fields) as process:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            left = len(psutil.wait_procs(children, timeout=30)[1])
    done = len(lines(folder))
    code = whole_run(folder, fields)
    return {"moment": round(moment, 1), "lines": done, "left_after_30_s": left, "exit": code}


def main() -> int:
    """Run the trials, and write the result after each of them."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=20, help="number of trials; 4 with --quick")
    options = parser.parse_args()
    trials = 4 if options.quick else options.trials
    command = f"python -m benchmarks.resume --trials {trials} --seed {options.seed}"
    rng = np.random.default_rng(options.seed)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        exp = preset("maze-fo-ppo")
        policy, data = Path(home) / "policy", Path(home) / "data"
        make_start(exp.model, sample_texts(exp), policy, seed=0)
        made = ("data", "generate", "maze-fo", "--episodes", "60", "--out", str(data))
        subprocess.run([sys.executable, "-m", "lmrl", *made], check=True, capture_output=True)
        cases: dict[str, tuple[list[str], dict[str, Any], float]] = {}
        for name, (which, *given) in list(CASES.items())[:trials]:
            changes = [str(data) if word == "DATA" else word for word in given]
            fields = [which, "--model.path", str(policy), *SMALL]
            fields += changes
            folder, began = Path(home) / name.replace(" ", "-"), time.monotonic()
            if code := whole_run(folder, fields):
                raise RunError(f"the unbroken run of {name} ended with {code}")
            cases[name] = fields, result(folder), time.monotonic() - began
        for number in range(trials):
            name = list(cases)[number % len(cases)]
            fields, whole, seconds = cases[name]
            folder = Path(home) / f"trial-{number}"
            facts = trial(fields, folder, float(rng.uniform(0.0, seconds)))
            other = differences(whole, result(folder)) if not facts["exit"] else ["exit"]
            runs.append({"case": name, **facts, "differs_in": other})
            if not options.json:
                emit(json.dumps(runs[-1]))
            equal = sum(not run["differs_in"] for run in runs)
            figures = {"trials": len(runs), "equal": equal, "runs": runs}
            if not options.quick:
                save("resume", command, figures)
    if options.json:
        emit(json.dumps(figures))
    return int(equal < len(runs))


if __name__ == "__main__":
    sys.exit(run(main))
