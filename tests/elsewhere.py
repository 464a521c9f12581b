"""Packages that need other versions than the system's live in environments of their own."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def python_with(package: str) -> Path:
    """Return the interpreter of a package's own environment; a test without one fails."""
    found = ROOT / f".venv-{package}" / "bin" / "python"
    assert found.exists(), f"no environment with {package}: make .venv-{package}/.ready"
    return found


def environment() -> dict[str, str]:
    """Return the variables of a process that runs the code of this tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def ran(python: Path, words: Sequence[str], given: object) -> Any:
    """Run a program, with JSON as its standard input and output."""
    done = subprocess.run(
        [str(python), *words],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
