"""The examples run, and print what they say."""

import os
import subprocess
import sys
from pathlib import Path

from lmrl.data import write
from lmrl.data.generate import episodes
from lmrl.tasks import make

ROOT = Path(__file__).resolve().parents[2]


def output(*arguments: str) -> str:
    """Return what an example prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_task_plays_an_episode() -> None:
    assert "higher" in (text := output("examples/own_task.py")) or "lower" in text
    assert "[end] right" in text


def test_the_command_finds_a_task_in_the_working_directory(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("lmrl")
    arguments = ["data", "generate", "own_task:GuessNumber", "--episodes", "3", "--out"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [command, *arguments, tmp_path / "data"],
        capture_output=True,
        text=True,
        cwd=ROOT / "examples",
        env=environment,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.startswith("3 episodes"), done.stderr


def test_the_analysis_counts_what_is_stored(tmp_path: Path) -> None:
    write(episodes(make("maze-fo"), "maze-fo", 5, 0, "optimal", {}), tmp_path / "data")
    text = output("examples/analysis.py", str(tmp_path / "data"))
    assert text.startswith("5 episodes,") and "'move " in text
