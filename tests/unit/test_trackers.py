"""Metrics in TensorBoard and tracking services: the same names and numbers as in the file."""

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmrl.errors import UsageError
from lmrl.runs.log import RunLog
from lmrl.runs.names import METRICS
from lmrl.runs.trackers import SERVICES, RunFacts, check_service

VALUES = np.array([-3.0, -1.0, math.nan, 2.0])


def record(log: RunLog) -> None:
    for update in (1, 2):
        log.metrics(update, {"rollout/return_mean": -10.0 * update, "train/loss": 0.5})
        log.histogram(update, "rollout/return", VALUES)
        log.text(update, "rollout/episode", f"# no heading\n<b>{update}</b> \ud800")
    log.track(2, {"score/ppo/return_mean": -7.0})
    log.close()


def test_tensorboard_has_numbers_distributions_and_texts(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record(RunLog(tmp_path))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("rollout/return_mean")] == [
        (1, -10.0),
        (2, -20.0),
    ]
    assert events.Scalars("score/ppo/return_mean")[0].value == -7.0
    found = events.Histograms("rollout/return")[0].histogram_value
    assert (found.num, found.min, found.max, found.sum) == (3.0, -3.0, 2.0, -2.0)
    assert sum(found.bucket) == 3
    text = events.Tensors("rollout/episode")[1].tensor_proto.string_val[0].decode()
    assert text.startswith("    # no heading\n    <b>2</b> ")
    # What is only tracked is not in the file, whose lines are those of the updates.
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["update"] for row in rows] == [1, 2] and "score" not in str(rows)


class Recorded:
    """A tracker that keeps what it gets."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def scalars(self, *arguments: Any) -> None:
        self.calls.append(("scalars", *arguments))

    def histogram(self, update: int, name: str, values: Any) -> None:
        self.calls.append(("histogram", update, name, values.tolist()))

    def text(self, *arguments: Any) -> None:
        self.calls.append(("text", *arguments))

    def flush(self) -> None:
        self.calls.append(("flush",))

    def close(self) -> None:
        self.calls.append(("close",))


def test_a_service_gets_what_tensorboard_gets(tmp_path: Path) -> None:
    log, kept = RunLog(tmp_path), Recorded()
    opened: list[int] = []

    def service() -> Recorded:
        opened.append(1)
        return kept

    log.add_service(service)
    assert not opened  # nothing is opened for a run that fails before its first update
    record(log)
    assert opened == [1]
    assert ("histogram", 1, "rollout/return", [-3.0, -1.0, 2.0]) in kept.calls
    assert kept.calls[-2:] == [("scalars", 2, {"score/ppo/return_mean": -7.0}), ("close",)]


def test_a_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmrl.runs.trackers.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"service is wandb.*pip install 'lmrl\[wandb\]'"):
        check_service("wandb")


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import socket
def refuse(*a, **k): raise OSError("no network in this test")
socket.getaddrinfo = refuse
from lmrl.runs.log import RunLog
from lmrl.runs.trackers import SERVICES, RunFacts
from tests.unit.test_trackers import record
folder = Path({folder!r})
for _ in range(2):  # the second time as after a resume
    log = RunLog(folder)
    facts = RunFacts(folder, {{"task": "maze-fo"}}, "lmrl-test", offline=True)
    log.add_service(lambda: SERVICES[{service!r}](facts))
    record(log)
"""


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_works_without_a_network(service: str, tmp_path: Path) -> None:
    if find_spec(service) is None:
        pytest.skip(f"{service} is not installed; it is an extra")
    run = tmp_path / "my run"
    run.mkdir()
    code = PROGRAM.format(
        root=str(Path(__file__).resolve().parents[2]), folder=str(run), service=service
    )
    environment = {**os.environ, "HOME": str(tmp_path), "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (run / service).is_dir() and any((run / service).rglob("*"))


def test_a_resumed_run_is_the_same_run_of_the_service(tmp_path: Path) -> None:
    one = RunFacts(tmp_path / "a" / "run", {}, "p", False)
    assert one.run_id == RunFacts(tmp_path / "a" / "run", {}, "p", False).run_id
    assert one.run_id != RunFacts(tmp_path / "b" / "run", {}, "p", False).run_id
