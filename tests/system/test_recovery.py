"""Learner ranks that die or freeze within a run: it goes on as if nothing had happened."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

from benchmarks.resume.curve import curve, lines  # noqa: E402
from cluster.presets import preset  # noqa: E402
from cluster.train import train  # noqa: E402
from lmrl.runs.log import RunLog  # noqa: E402

UPDATES, KILLED, FROZEN = 7, 3, 5


def experiment(checkpoint: Path) -> Any:
    exp = preset("maze-fo-ppo")
    return replace(
        exp,
        updates=UPDATES,
        save_every=2,
        keep=9,
        model=replace(exp.model, path=str(checkpoint)),
        options={"max_steps": 12},
        rollouts=replace(exp.rollouts, turns=120, min_episodes=12, max_episodes=24),
        evaluation=replace(exp.evaluation, episodes=4, start_episodes=0, random=False),
        placement=replace(exp.placement, unresponsive=6.0),
        learner=replace(exp.learner, ranks=2, optimiser=replace(exp.learner.optimiser, zero=2)),
    )


def rank(since: float, number: int) -> int:
    """Return the process id of a rank that has started after a time."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.create_time() > since and "ray::Learner" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return sorted(process.pid for process in found)[number]


def faults(folder: Path, began: float) -> None:
    """Kill a rank after one update, and freeze one of those that replace them after another."""
    for update, number in ((KILLED, signal.SIGKILL), (FROZEN, signal.SIGSTOP)):
        while len(lines(folder)) < update:
            time.sleep(0.05)
        os.kill(rank(began, 1), number)
        began = time.time()


def test_lost_ranks_change_nothing(local_ray: None, checkpoint: Path, tmp_path: Path) -> None:
    exp = experiment(checkpoint)
    whole = train(exp, RunLog(tmp_path / "whole"))
    folder = tmp_path / "broken"
    injecting = threading.Thread(target=faults, args=(folder, time.time()), daemon=True)
    injecting.start()
    broken = train(exp, RunLog(folder))
    injecting.join(timeout=1)
    assert not injecting.is_alive()
    found = [json.loads(line) for line in (folder / "recoveries.jsonl").open()]
    assert [record["role"] for record in found] == ["learner", "learner"]
    assert "ended" in found[0]["reason"] and "did not respond" in found[1]["reason"]
    assert curve(folder) == curve(tmp_path / "whole")
    assert broken["ledger"] == whole["ledger"] and broken["scores"] == whole["scores"]
