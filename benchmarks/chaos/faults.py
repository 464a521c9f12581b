"""A training on a private Ray cluster, and the faults that are injected into it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from ray.cluster_utils import Cluster

from cluster.ledger import Ledger
from cluster.presets import preset
from cluster.source import sample_texts
from learners.checkpoints.initial import make_start
from lmrl.errors import RunError
from lmrl.runs.names import LAST, METRICS, RECOVERIES, STATE, SUMMARY, TRAJECTORIES, checkpoint

ACTORS = {"sampler": "Sampler", "simulator": "Simulator", "learner": "Learner"}
"""Names of the actors' classes, by their roles."""

KINDS = (
    "sampler",
    "sampler-frozen",
    "simulator",
    "simulator-frozen",
    "learner",
    "learner-frozen",
    "node",
    "driver",
)
"""Kinds of faults: the process of an actor is killed or frozen, a node is lost with all that runs
there and another one joins, or the driver is killed and its command is given again."""

LIMIT = 300.0
"""Time until a fault counts as not recovered, in seconds."""

WORKERS = 2
"""Number of nodes that can be lost."""

FIELDS = (
    *("--options", '{"max_steps": 12}', "--rollouts.turns", "160", "--max-staleness", "1"),
    *("--algorithm.importance-cap", "2", "--rollouts.min-episodes", "16"),
    *("--rollouts.max-episodes", "32", "--evaluation.episodes", "8", "--evaluation.random"),
    *("false", "--evaluation.start-episodes", "0", "--save-every", "5"),
    *("--sampler.count", "2", "--simulator.count", "2", "--learner.ranks", "2"),
    *("--learner.optimiser.zero", "2", "--sampler.threads", "1", "--learner.threads", "1"),
)
"""Fields of a small training with two actors of each role."""


class Training:
    """A training on a cluster of a head node and `WORKERS` others, within a `with` block.

    Args:
        home: folder for the run.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.run = home, home / "run"
        self.nodes: list[Any] = []

    def __enter__(self) -> "Training":
        self.cluster = Cluster(
            initialize_head=True,
            connect=False,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "_system_config": {
                    "health_check_period_ms": 1000,
                    "health_check_failure_threshold": 5,
                },
            },
        )
        self.nodes = [self._node() for _ in range(WORKERS)]
        exp = preset("maze-fo-ppo")
        make_start(exp.model, sample_texts(exp), self.home / "policy", seed=0)
        fields = ("--model.path", str(self.home / "policy"), *FIELDS)
        command = ("train", "maze-fo-ppo", "--run-dir", str(self.run), *fields)
        self.driver = self._start(*command, "--resume", "auto", "--updates", "100000")
        self.command = command
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.driver.kill()
        self.driver.wait()
        self.cluster.shutdown()

    def _node(self) -> Any:
        return self.cluster.add_node(num_cpus=2)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.home / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "lmrl", *words],
                env={**os.environ, "RAY_ADDRESS": self.cluster.address},
                stdout=log,
                stderr=log,
            )

    def wait_for_update(self) -> None:
        """Wait until another update is whole."""
        before = self._last()
        self._await(lambda: self._last() != before, "another update")

    def inject(self, kind: str, rng: np.random.Generator) -> dict[str, Any]:
        """Inject a fault after a random time, and wait until what was lost serves again.

        Args:
            kind: one of `KINDS`.
            rng: source of the time and of the victim.

        Returns:
            Kind, update before the fault, and seconds until the recovery.
        """
        time.sleep(rng.uniform(0.0, 3.0))
        facts = {"kind": kind, "update": self._last()}
        began, clock = time.time(), time.monotonic()
        if kind == "driver":
            self.driver.kill()
            self.driver.wait()
            self.driver = self._start(*self.command, "--resume", "auto", "--updates", "100000")
            self._await_recoveries(["driver"], began)
        elif kind == "node":
            lost = self.nodes.pop(int(rng.integers(len(self.nodes))))
            roles = [role for role in ACTORS if self._actors(role, lost)]
            self.cluster.remove_node(lost, allow_graceful=False)
            self.nodes.append(self._node())
            self._await_recoveries(roles, began)
        else:
            role = kind.removesuffix("-frozen")
            victim = rng.choice([process.pid for process in self._actors(role)])
            os.kill(int(victim), signal.SIGSTOP if role != kind else signal.SIGKILL)
            self._await_recoveries([role], began)
        return {**facts, "seconds": round(time.monotonic() - clock, 1)}

    def finish(self) -> dict[str, Any]:
        """Stop the run by SIGTERM, let it go on to its end, and count its episodes."""
        self.driver.send_signal(signal.SIGTERM)
        stopped = self.driver.wait(LIMIT)
        updates = json.loads((checkpoint(self.run, LAST) / STATE).read_text())["update"] + 3
        self.driver = self._start("train", "--resume", str(self.run), "--updates", str(updates))
        ended = self.driver.wait(LIMIT)
        if ended:
            raise RunError(f"the run did not come to its end: {self._end_of_log()}")
        summary = json.loads((self.run / SUMMARY).read_text())
        state = json.loads((checkpoint(self.run, LAST) / STATE).read_text())
        ledger = Ledger(**summary["ledger"])
        files = sorted((self.run / TRAJECTORIES / "training").glob("update-*.parquet"))
        seeds = [seed for file in files for seed in pq.read_table(file)["seed"].to_pylist()]
        started = state["position"]["next_seed"]
        unseen = started - len(set(seeds)) - ledger.stale - ledger.failed
        rows = [json.loads(line) for line in (self.run / METRICS).read_text().splitlines()]
        numbers = [row["update"] for row in rows if "train/loss" in row]
        return {
            "lost": ledger.open + abs(unseen),
            "doubled": len(seeds) - len(set(seeds)) + abs(len(seeds) - ledger.trained),
            "updates": updates,
            "lines_in_order": numbers == list(range(1, updates + 1)),
            "exit_after_sigterm": stopped,
            "parity_max_abs": summary["parity"]["max_abs"],
            "ledger": summary["ledger"],
        }

    def _actors(self, role: str, node: Any = None) -> list[psutil.Process]:
        """Return the processes of a role that run, on one node or on all."""
        nodes = [self.cluster.head_node, *self.nodes] if node is None else [node]
        servers = [info.process.pid for n in nodes for info in n.all_processes["raylet"]]
        name = f"ray::{ACTORS[role]}"
        found = []
        for server in servers:
            for process in psutil.Process(server).children(recursive=True):
                try:
                    words = " ".join(process.cmdline())
                    alive = process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
                except psutil.NoSuchProcess:
                    continue
                # Until its class is known, and between two calls, other names stand there.
                if words.startswith(name) and alive:
                    found.append(process)
        return found

    def _last(self) -> int:
        path = self.run / METRICS
        lines = path.read_text().splitlines() if path.exists() else []
        return int(json.loads(lines[-1])["update"]) if lines else 0

    def _await_recoveries(self, roles: list[str], since: float) -> None:
        def there() -> bool:
            path = self.run / RECOVERIES
            lines = path.read_text().splitlines() if path.exists() else []
            records = [json.loads(line) for line in lines]
            return set(roles) <= {r["role"] for r in records if r["time"] > since}

        self._await(there, f"the recovery of {', '.join(roles)}")

    def _await(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT
        while not there():
            if self.driver.poll() is not None:
                raise RunError(f"the run ended while it waited for {what}: {self._end_of_log()}")
            if time.monotonic() > deadline:
                raise RunError(f"no {what} within {LIMIT:g} s: {self._end_of_log()}")
            time.sleep(0.1)

    def _end_of_log(self) -> str:
        lines = (self.home / "log.txt").read_text().splitlines()
        return "\n".join([line for line in lines if "warning" in line][-20:] + lines[-5:])
