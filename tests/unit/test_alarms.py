"""Alarms about a policy that collapses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.config import AlarmConfig
from cluster.presets import preset
from cluster.reporting.alarms import Alarms
from cluster.reporting.progress import Progress
from lmrl.errors import RunError
from lmrl.runs.log import RunLog

GOOD = {
    "train/entropy": 0.9,
    "rollout/return_std": 5.0,
    "train/grad_norm": 1.0,
    "train/sampler_gap": 1e-6,
}
LIMITS = {"entropy": 0.1, "return_std": 0.5, "grad_norm": 10.0, "sampler_gap": 0.01}
BAD = {
    "entropy": ("train/entropy", 0.05),
    "return_std": ("rollout/return_std", 0.0),
    "grad_norm": ("train/grad_norm", float("nan")),
    "sampler_gap": ("train/sampler_gap", 0.3),
}


@pytest.mark.parametrize("name", BAD)
def test_an_alarm_is_raised_once_after_some_updates_in_a_row(name: str) -> None:
    metric, value = BAD[name]
    limit: dict[str, Any] = {name: LIMITS[name]}
    alarms = Alarms(AlarmConfig(patience=2, **limit))
    bad = GOOD | {metric: value}
    rounds = [bad, GOOD, bad, bad, bad, {}, GOOD, bad, bad]
    raised = [alarms.poll(n, metrics, 0) for n, metrics in enumerate(rounds, 1)]
    assert [n for n, warnings in enumerate(raised, 1) if warnings] == [4, 9]
    assert metric in raised[3][0] and f"alarms.{name}" in raised[3][0]
    assert not alarms.withhold  # a warning does not touch checkpoints


def test_without_limits_nothing_is_raised() -> None:
    alarms = Alarms(AlarmConfig(patience=1))
    assert not any(alarms.poll(n, dict(BAD.values()), 0) for n in range(5))


def test_a_run_stops_with_its_last_good_checkpoint(tmp_path: Path) -> None:
    config = AlarmConfig(entropy=0.1, patience=3, action="stop")
    exp = replace(preset("maze-fo-ppo"), alarms=config, save_every=1)
    progress = Progress(exp, RunLog(tmp_path), "bc")
    low = GOOD | {"train/entropy": 0.01}
    progress.alarms.poll(4, GOOD, 3)
    assert progress.save_due(4)
    for update in (5, 6):
        progress.alarms.poll(update, low, 4)
        assert not progress.save_due(update)
    with pytest.raises(RunError, match=r"train/entropy is 0\.01 .* checkpoints/step-4") as stopped:
        progress.alarms.poll(7, low, 4)
    assert "--model.path" in str(stopped.value)
    with pytest.raises(RunError, match="no checkpoint had been saved"):
        Alarms(replace(config, patience=1)).poll(1, low, 0)


def test_a_run_that_recovers_saves_again(tmp_path: Path) -> None:
    config = AlarmConfig(grad_norm=10.0, patience=2, action="stop")
    exp = replace(preset("maze-fo-ppo"), alarms=config, save_every=1)
    progress = Progress(exp, RunLog(tmp_path), "bc")
    progress.alarms.poll(1, GOOD | {"train/grad_norm": 50.0}, 0)
    assert not progress.save_due(1) and progress.save_due(exp.updates)
    progress.alarms.poll(2, GOOD, 0)
    assert progress.save_due(2)
