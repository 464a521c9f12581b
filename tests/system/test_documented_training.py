"""The commands of the pages that start Ray and train, in order and with small sizes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documented import PAGES, ROOT, blocks, call

from lmrl.cli import parser
from lmrl.cli.training.chosen import experiment
from lmrl.errors import UsageError

pytest.importorskip("ray")

pytestmark = [pytest.mark.system, pytest.mark.pages, pytest.mark.timeout(900)]

SMALL = {
    "updates": "2",
    "algorithm.mc_updates": "1",
    "start.updates": "3",
    "data.episodes": "40",
    "rollouts.turns": "64",
    "rollouts.min_episodes": "4",
    "rollouts.max_episodes": "8",
    "evaluation.every": "0",
    "evaluation.episodes": "4",
    "evaluation.start_episodes": "4",
}
"""Fields that make a training short."""

TRAINED = [page for page in PAGES if any(block.mark == "train" for block in blocks(page))]


def small(words: list[str]) -> list[str]:
    """Return the options that make a call short; the last value of an option counts."""
    if "--episodes" in words or words[0] == "evaluate":
        return ["--episodes", "20"]
    if words[0] != "train" or "--dry-run" in words:
        return []
    fields: list[str] = []
    for name, value in SMALL.items():
        try:
            experiment(parser().parse_args([*words, *fields, f"--{name}", value])).check()
        except UsageError:  # a field that has no effect in this training
            continue
        fields += [f"--{name}", value]
    return fields


@pytest.mark.parametrize("page", TRAINED, ids=lambda page: page.stem)
def test_what_a_page_trains_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for block in blocks(page):
        if block.mark.startswith("parse") or block.language not in ("sh", "python"):
            continue
        commands = block.commands() if block.language == "sh" else []
        if block.language == "python" and block.mark == "train":
            commands = [shlex.join([sys.executable, "-c", block.code])]
        for command in commands:
            words = call(command)
            if words is not None:
                command = shlex.join(["lmrl", *words, *small(words)])
            done = subprocess.run(
                ["bash", "-ec", command],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{block.place}: {command}\n{done.stdout}{done.stderr}"
