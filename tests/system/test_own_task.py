"""A task of one's own is trained without a preset, in a folder of any name that is moved later."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")

pytestmark = pytest.mark.system

SMALL = {
    "updates": 2,
    "start.updates": 3,
    "data.episodes": 40,
    "rollouts.turns": 64,
    "rollouts.min_episodes": 4,
    "evaluation.episodes": 6,
}


def lmrl(*arguments: object) -> str:
    """Return what a command prints to standard output, in a process of its own."""
    command = [sys.executable, "-m", "lmrl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_task_of_ones_own_is_trained(tmp_path: Path) -> None:
    run = tmp_path / "my runs: ä" / "first"
    fields = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    call = ["train", "ppo", "--task", "examples.own_task:GuessNumber", "--run-dir", run]
    # With --json nothing else is on standard output, of no library either.
    summary = json.loads(lmrl(*call, *fields, "--json"))
    assert set(summary["scores"]) == {"random", "bc", "ppo"}
    assert json.loads((run / "start" / "config.json").read_text())["updates"] == 3

    moved = tmp_path / "moved"
    shutil.move(run, moved)
    assert "ended" in lmrl("status", moved)
    assert "player ppo" in lmrl("transcripts", moved, "--best", 1)
    record = json.loads(lmrl("evaluate", "checkpoint", moved, "--json"))
    assert record["return_mean"] == summary["scores"]["ppo"]["return_mean"]
