"""The same command as a submitted job, on a Ray head of its own with token authentication.

The job has the files that `deploy/runtime-env.yaml` lets Ray upload, and no others.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from ranks import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]

ROOT = Path(__file__).resolve().parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


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


def job(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAY, "job", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def training(run: Path, **fields: object) -> list[str]:
    """Return the words of a small training, after those of `ray job`."""
    words = [
        "--runtime-env", "deploy/runtime-env.yaml", "--", "python", "-m", "lmrl", "train",
        "maze-fo-bc", "--run-dir", run, "--data.episodes", 8, "--evaluation.episodes", 4,
        "--evaluation.start-episodes", 0, "--evaluation.random", "false",
        "--options", '{"max_steps": 4}',
    ]  # fmt: skip
    return [*map(str, words), *(str(w) for name, v in fields.items() for w in (f"--{name}", v))]


def answer(environment: dict[str, str], token: str) -> int:
    """Return the HTTP status of the list of jobs; 0 if nobody answers."""
    request = urllib.request.Request(
        f"{environment['RAY_ADDRESS']}/api/jobs/", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_preset_runs_as_a_job(cluster: dict[str, str], tmp_path: Path) -> None:
    deadline = time.monotonic() + 90
    while answer(cluster, cluster["RAY_AUTH_TOKEN"]) != 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert answer(cluster, secrets.token_hex(32)) in (401, 403)  # the token is really asked for
    run = tmp_path / "run"
    while True:
        done = job(cluster, "submit", *training(run, updates=1))
        # The head answers before its job agent does.
        if run.exists() or time.monotonic() > deadline:
            break
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["scores"]["bc"]["episodes"] == 4
    assert summary["parity"]["max_abs"] < 1e-3
    # It ran from the upload, which has no repository.
    assert json.loads((run / "config.json").read_text())["provenance"]["commit"] == "unknown"
    _stop_a_job(cluster, tmp_path / "stopped")


def _stop_a_job(cluster: dict[str, str], run: Path) -> None:
    """`ray job stop` leaves the time for a checkpoint, which Ray's own limit of 3 s may not."""
    job(cluster, "submit", "--no-wait", "--submission-id", "long", *training(run, updates=10**6))
    while not (run / "metrics.jsonl").exists():
        time.sleep(0.2)
    stopped = job(cluster, "stop", "long")
    assert stopped.returncode == 0, (stopped.stdout + stopped.stderr)[-3000:]
    assert json.loads((run / "status.json").read_text())["phase"] == "terminated"
    saved = json.loads((run / "checkpoints" / "last" / "state.json").read_text())["update"]
    assert saved >= 1
