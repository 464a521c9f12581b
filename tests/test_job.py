"""The same command as a submitted job, on a Ray head of its own with token authentication."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]

ROOT = Path(__file__).resolve().parent.parent
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head node in a process group of its own; yields the environment that reaches it."""
    port, dashboard, agent = free_port(), free_port(), free_port()
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(
            [
                *RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=4",
                f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
                # The default port is taken where another Ray runs on the machine.
                f"--dashboard-agent-listen-port={agent}",
                "--disable-usage-stats",
            ],
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    yield {**environment, "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    os.killpg(head.pid, signal.SIGTERM)
    try:
        head.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def submit(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAY, "job", "submit", "--working-dir", ".", "--", *command],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip


def test_a_preset_runs_as_a_job(cluster: dict[str, str], tmp_path: Path) -> None:
    # The head answers before its job agent does.
    deadline = time.monotonic() + 90
    while (first := submit(cluster, "true")).returncode and time.monotonic() < deadline:
        time.sleep(2)
    assert first.returncode == 0, first.stdout + first.stderr
    stranger = {**cluster, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    assert submit(stranger, "true").returncode != 0  # the token is really asked for
    run = tmp_path / "run"
    done = submit(
        cluster, "python", "-m", "lmrl", "train", "maze-fo-bc", "--run-dir", str(run),
        "--updates", "3", "--data.episodes", "30", "--evaluation.episodes", "6",
        "--evaluation.start_episodes", "0", "--options", '{"max_steps": 10}',
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["scores"]["bc"]["episodes"] == 6
    assert summary["parity"]["max_abs"] < 1e-3
