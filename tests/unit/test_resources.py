"""What a run asks of Ray and of its devices, and what is said where Ray does not start."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

ray = pytest.importorskip("ray")

from actors.cache import cache_bytes  # noqa: E402
from actors.config import SamplerConfig  # noqa: E402
from cluster.startup.ray_session import ray_session  # noqa: E402
from lmrl.errors import RunError, Terminated  # noqa: E402


def test_a_cache_has_the_size_that_its_sequences_need(checkpoint: Path) -> None:
    """Two layers of two heads of 32: 1,024 bytes a token in float32, in blocks of 32 tokens."""
    config = SamplerConfig(max_sequences=4)
    sequence = (64 // 32 + 2) * 32 * 1024
    assert cache_bytes(checkpoint, config, 64, limit=2**30) == 4 * sequence
    assert cache_bytes(checkpoint, config, 64, limit=2 * sequence) == 2 * sequence
    assert cache_bytes(checkpoint, config, 64, limit=1) == sequence  # at least one must fit
    assert cache_bytes(checkpoint, config, 64, limit=2**30, trunks=2) == 8 * sequence
    half = replace(config, dtype="bfloat16")
    assert cache_bytes(checkpoint, half, 64, limit=2**30) == 2 * sequence


def test_a_ray_that_does_not_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's processes time out where the machine is busy. Ray raises a plain `Exception` then."""

    def start(error: BaseException) -> Any:
        def init(**_: Any) -> None:
            raise error

        return init

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", start(Exception("The current node timed out.")))
    said = r"cannot be started: .* if the machine is busy, try again"
    with pytest.raises(RunError, match=said), ray_session():
        raise AssertionError("the block must not run")
    monkeypatch.setattr(ray, "init", start(Terminated()))
    with pytest.raises(Terminated), ray_session():
        raise AssertionError("the block must not run")


def test_a_signal_while_ray_starts_ends_what_ray_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray replaces the handler of SIGTERM before it starts its processes."""
    started: list[subprocess.Popen[bytes]] = []

    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        started.append(subprocess.Popen(["sleep", "600"]))
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the handler must have raised")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), ray_session():
        raise AssertionError("the block must not run")
    assert started[0].wait() == -signal.SIGKILL
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigusr1_while_ray_starts_spares_its_processes_and_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch system sends it to the whole process group."""
    spared: list[bool] = []

    def init(**_: Any) -> None:
        process = subprocess.Popen(["sleep", "600"])
        os.kill(process.pid, signal.SIGUSR1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        spared.append(True)
        process.kill()
        process.wait()
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(Terminated), ray_session():
        raise AssertionError("the block must not run")
    assert spared
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_ranks_meet_on_the_interface_that_reaches_the_first_one() -> None:
    from learners.process_group import interface_to

    for name, addresses in psutil.net_if_addrs().items():
        for found in addresses:
            if found.family == socket.AF_INET:
                assert interface_to(found.address) == name
