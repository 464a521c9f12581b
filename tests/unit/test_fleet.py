"""The loss of an actor is recorded once, whoever notices it."""

from typing import Any

import pytest

ray = pytest.importorskip("ray")

from cluster.fleet import Fleet  # noqa: E402
from cluster.health.monitor import ActorMonitor  # noqa: E402
from cluster.presets import preset  # noqa: E402


class Answers:
    """What Ray returns for references that are answers, or errors."""

    def get(self, ref: Any) -> Any:
        if isinstance(ref, Exception):
            raise ref
        return ref


@pytest.fixture
def monitored(monkeypatch: pytest.MonkeyPatch) -> tuple[Fleet, ActorMonitor, list[str]]:
    reasons: list[str] = []
    fleet = Fleet(preset("maze-fo-ppo"), [], ["simulator"], None, [])
    fleet.recovered = lambda role, number, reason, seconds: reasons.append(reason)
    clock = iter(range(100, 1000))
    monkeypatch.setattr("cluster.fleet.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("cluster.health.monitor.ray.get", Answers().get)
    return fleet, ActorMonitor(fleet), reasons


def test_news_of_a_loss_that_is_over_is_not_another_loss(monitored: Any) -> None:
    fleet, monitor, reasons = monitored
    monitor._answered("simulator", {"pid": 1}, 10.0)
    fleet.lost("simulator", "its process ended")  # a job has raised
    fleet.back("simulator")  # the job has episodes again
    assert len(reasons) == 1
    monitor._answered("simulator", ray.exceptions.RayActorError(), 11.0)  # asked while it was lost
    monitor._answered("simulator", {"pid": 2}, 2000.0)
    assert len(reasons) == 1
    monitor._answered("simulator", {"pid": 3}, 2001.0)  # nothing else has noticed this one
    assert len(reasons) == 2
    monitor._answered("simulator", ray.exceptions.RayActorError(), 2002.0)
    assert "simulator" in fleet.starting
    monitor._answered("simulator", {"pid": 4}, 2003.0)
    assert len(reasons) == 3 and not fleet.starting
