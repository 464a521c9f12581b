"""Runs and checks on a Ray cluster of several nodes, which are processes of this machine."""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from benchmarks.resume.curve import lines  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def head(cpus: int) -> Iterator[Cluster]:
    """A head node; this process does not join it, since it may be in another Ray."""
    cluster = Cluster(
        initialize_head=True,
        connect=False,
        head_node_args={
            "num_cpus": cpus,
            "include_dashboard": False,
            # A lost node is noticed after 3 s, not 15.
            "_system_config": {"health_check_period_ms": 1000, "health_check_failure_threshold": 3},
        },
    )
    try:
        yield cluster
    finally:
        cluster.shutdown()


def program(cluster: Cluster, code: str, folder: Path) -> str:
    """Run a program that joins the cluster, and return the last line that it printed.

    Ray's workers look for modules in its working directory first, which is `folder`.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "RAY_ADDRESS": cluster.address}, cwd=folder,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


PREFLIGHT = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
import ray
from ray.core.generated.autoscaler_pb2 import ClusterConfig
from cluster.presets import preset
from cluster.startup.preflight import preflight
from cluster.startup.ray_session import ray_session
from lmrl.errors import UsageError

def wait_for(count):
    while sum(node["Alive"] for node in ray.nodes()) < count:
        time.sleep(0.2)

said, exp = {}, preset("maze-fo-ppo")
many = replace(exp, sampler=replace(exp.sampler, count=99))
with ray_session():
    wait_for(2)
    for name, exp, folder in (
        ("many", many, "a"), ("own", exp, "b"), ("shared", exp, "a"), ("grown", many, "a"),
    ):
        if name == "grown":
            # What an autoscaler reports when it starts.
            config = ClusterConfig()
            group = config.node_group_configs.add(name="large", max_count=1)
            group.resources["CPU"] = 100
            ray._private.worker.global_worker.gcs_client.report_cluster_config(
                config.SerializeToString()
            )
        folder = Path(sys.argv[1], folder)
        try:
            preflight(exp, folder)
        except UsageError as error:
            said[name] = str(error)
        assert not list(folder.iterdir())
print(json.dumps(said))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of a node's own needs root")
def test_preflight_names_bundle_node_and_package() -> None:
    """The second node has another torch, and sees another folder at the path of `b`. The third one,
    which comes last, has a package of others that has the name of ours."""
    folder = Path(tempfile.mkdtemp(prefix="lmrl-"))
    for name in ("a", "b", "packages/torch-0.1.dist-info"):
        (folder / name).mkdir(parents=True)
    (folder / "packages/torch-0.1.dist-info/METADATA").write_text("Name: torch\nVersion: 0.1\n")
    command = (
        f'mount -t tmpfs none {folder}/b && exec "{sys.executable}" -m ray.scripts.scripts start '
        "--block --num-cpus=1 --disable-usage-stats --address="
    )
    path = os.pathsep.join([str(folder / "packages"), os.environ["PYTHONPATH"]])
    with head(4) as cluster, (folder / "log.txt").open("w") as log:
        second = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", command + cluster.address],
            env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            said = json.loads(program(cluster, PREFLIGHT, folder))
        finally:
            os.killpg(second.pid, 15)
            second.wait(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)
    assert "sampler 4 cannot be placed: it needs 1 CPU" in said["many"]
    assert f"{folder}/b is not shared by the nodes: node" in said["own"]
    assert "cannot read a file there (No such file or directory)" in said["own"]
    assert "has other versions than this one: torch 0.1 (here " in said["shared"]
    # The node that an autoscaler may start has space for all samplers.
    assert said["grown"] == said["shared"]


def small(run: Path, checkpoint: Path, **fields: object) -> list[str]:
    """Return the words after `lmrl train maze-fo-ppo` of a short run."""
    words = [
        "--run-dir", run, "--model.path", checkpoint, "--options", '{"max_steps": 8}',
        "--rollouts.min-episodes", 8, "--rollouts.turns", 64, "--evaluation.episodes", 8,
        "--evaluation.start-episodes", 0, "--evaluation.random", "false",
    ]  # fmt: skip
    for name, value in fields.items():
        words += [f"--{name}", value]
    return [str(word) for word in words]


def test_samplers_of_a_lost_node_are_placed_again(checkpoint: Path, tmp_path: Path) -> None:
    """The first node has no CPU left for the sampler, and the second is lost."""
    run, updates = tmp_path / "run", 6
    words = [*small(run, checkpoint, updates=updates), "--placement.samplers", "apart"]
    with head(1) as cluster, (tmp_path / "log.txt").open("w") as log:
        lost = cluster.add_node(num_cpus=1)
        training = subprocess.Popen(
            [sys.executable, "-m", "lmrl", "train", "maze-fo-ppo", *words],
            env={**os.environ, "RAY_ADDRESS": cluster.address}, cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            while not lines(run):
                assert training.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
                time.sleep(0.2)
            cluster.remove_node(lost, allow_graceful=False)
            cluster.add_node(num_cpus=1)
            assert training.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()[-3000:]
        finally:
            training.kill()
            training.wait()
    found = [json.loads(line) for line in (run / "recoveries.jsonl").read_text().splitlines()]
    assert ("sampler", 0) in {(record["role"], record["number"]) for record in found}
    summary = json.loads((run / "summary.json").read_text())
    ledger = summary["ledger"]
    assert ledger["started"] == ledger["trained"] + ledger["evaluated"] and not ledger["failed"]
    assert [line["update"] for line in lines(run)] == list(range(1, updates + 1))
    assert summary["parity"]["pushes"] == updates + 1 and summary["parity"]["max_abs"] < 1e-3


HOST = """
set -e
mount -t tmpfs none /dev/shm
mkdir -p /tmp/ray
mount -t tmpfs none /tmp/ray
hostname {name}
ray() {{ "{python}" -m ray.scripts.scripts "$@"; }}
"""
FIRST = """
ray start --head --block --node-ip-address {ip}.1 --port 6379 --num-cpus 3 \\
  --include-dashboard false --disable-usage-stats &
until [ "$(ray status --address {ip}.1:6379 | grep -c '^ 1 node_')" = 2 ]; do sleep 0.5; done
RAY_ADDRESS={ip}.1:6379 "{python}" -m lmrl train maze-fo-ppo {words}
"""
SECOND = """
until ray start --block --node-ip-address {ip}.2 --address {ip}.1:6379 --num-cpus 3 \\
  --disable-usage-stats; do sleep 0.5; done
"""


@contextmanager
def linked(names: tuple[str, str], ip: str) -> Iterator[None]:
    """Two network namespaces with a cable between them."""

    def run(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            run("netns", "add", name)
        ends = [f"{name}v" for name in names]
        run("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            run("link", "set", end, "netns", name)
            run("-n", name, "addr", "add", f"{ip}.{number}/24", "dev", end)
            run("-n", name, "link", "set", "lo", "up")
            run("-n", name, "link", "set", end, "up")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and ip"
)
def test_ranks_on_two_hosts_train_with_zero_3(checkpoint: Path, tmp_path: Path) -> None:
    """Each host has its own network, name and shared memory, and CPUs for one rank. The names have
    no address, as where a host's own name means 127.0.0.1."""
    tag = secrets.token_hex(3)
    names, ip = (f"l{tag}a", f"l{tag}b"), "10.77.31"
    run = tmp_path / "run"
    words = [
        *small(run, checkpoint, updates=2), "--learner.ranks", "2", "--learner.optimiser.zero", "3",
        "--learner.optimiser.zero-whole", "0", "--placement.learner-cpus", "2",
    ]  # fmt: skip
    known = {"python": sys.executable, "ip": ip, "words": shlex.join(words)}
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)
    }  # fmt: skip
    log = tmp_path / "log.txt"
    with linked(names, ip), log.open("w") as out, ExitStack() as stack:
        hosts = []
        for name, program in zip(names, (FIRST, SECOND), strict=True):
            isolated = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
            script = (HOST + program).format(name=name, **known)
            host = subprocess.Popen(
                ["ip", "netns", "exec", name, *isolated, "--mount-proc", "bash", "-c", script],
                env=environment, cwd=ROOT, stdout=out, stderr=out,
            )  # fmt: skip
            stack.callback(host.wait)
            stack.callback(host.kill)
            hosts.append(host)
        assert hosts[0].wait(timeout=300) == 0, log.read_text()[-3000:]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["parity"]["pushes"] == 3 and summary["parity"]["max_abs"] < 1e-3
    assert summary["ledger"]["trained"] > 0 and [row["update"] for row in lines(run)] == [1, 2]
    # Both wrote their part of the checkpoint into the folder that they share.
    parts = list((run / "checkpoints" / "last" / "deepspeed").rglob("*optim_states.pt"))
    assert len(parts) == 2
