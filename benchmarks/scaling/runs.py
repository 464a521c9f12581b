"""Real training runs, from which the model is calibrated and with which it is checked."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.running import process
from benchmarks.scaling.model import System
from benchmarks.scaling.times import Times
from cluster.presets import preset
from cluster.source import sample_texts
from learners.checkpoints.initial import make_start
from lmrl.runs.names import METRICS

PRESET = "maze-fo-ppo"

SMALL = (
    *("--options", '{"max_steps": 30}', "--rollouts.turns", "960", "--rollouts.min-episodes", "32"),
    *(
        "--rollouts.max-episodes",
        "64",
        "--evaluation.episodes",
        "1",
        "--evaluation.random",
        "false",
    ),
    *("--evaluation.start-episodes", "0", "--algorithm.importance-cap", "2"),
)
"""Fields of a run that consists of updates."""


def make_policy(folder: Path) -> None:
    """Write the untrained policy of the runs."""
    exp = preset(PRESET)
    make_start(exp.model, sample_texts(exp), folder, seed=0)


@dataclass(frozen=True)
class Measured:
    """Medians of a run's updates after the first.

    Attributes:
        staleness: `max_staleness` of the run.
        episodes, turns, tokens: episodes of an update, turns of an episode, tokens of an action.
        waited, learned, pushed, gated: seconds of an update's parts.
        megabytes: size of the weights, in MB.
    """

    staleness: int
    episodes: float
    turns: float
    tokens: float
    waited: float
    learned: float
    pushed: float
    gated: float
    megabytes: float

    @property
    def seconds(self) -> float:
        """Seconds of an update."""
        return self.waited + self.learned + self.pushed + self.gated

    def system(self, updates: int) -> System:
        """Return the sizes of this run for the model."""
        return System(
            samplers=1,
            episodes=round(self.episodes),
            at_once=preset(PRESET).rollouts.in_flight,
            turns=self.turns,
            long_tailed=False,
            tokens=max(1, round(self.tokens)),
            staleness=self.staleness,
            updates=updates,
        )


def measured(rows: list[dict[str, Any]], staleness: int) -> Measured:
    """Return the medians of a run's metrics.

    Args:
        rows: metrics of each update.
        staleness: `max_staleness` of the run.
    """
    rows = [row for row in rows if "rollout/wait_seconds" in row][1:]

    def middle(name: str) -> float:
        return float(median(row[name] for row in rows))

    return Measured(
        staleness,
        middle("rollout/episodes"),
        middle("rollout/length_mean"),
        float(
            median(
                row["rollout/tokens_per_s"] / max(row["rollout/turns_per_s"], 1e-9) for row in rows
            )
        ),
        middle("rollout/wait_seconds"),
        middle("train/update_seconds"),
        middle("push/push_ms") / 1e3,
        middle("push/gate_ms") / 1e3,
        middle("push/megabytes"),
    )


def train(policy: Path, folder: Path, staleness: int, updates: int, seed: int) -> Measured:
    """Train as `lmrl train` in a process of its own.

    Args:
        policy: checkpoint directory of the start policy.
        folder: run directory.
        staleness: largest number of versions that a token may be behind the learner.
        updates: number of updates.
        seed: seed of the run.
    """
    command = [sys.executable, "-m", "lmrl", "train", PRESET, "--run-dir", str(folder)]
    command += ["--model.path", str(policy), "--seed", str(seed), "--updates", str(updates)]
    process([*command, "--max-staleness", str(staleness), *SMALL])
    rows = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return measured(rows, staleness)


def learner_times(times: Times, run: Measured) -> Times:
    """Return service times with those of learner and push of a run.

    Args:
        times: service times of engine and control plane.
        run: run without episodes ahead.
    """
    size = run.megabytes * 2**20
    return replace(
        times,
        learn_token=run.learned / (run.episodes * run.turns * run.tokens),
        bytes=size,
        # The split is measured by benchmarks.weights; the model needs the sum only.
        gather=run.pushed / 2 / size,
        load=run.pushed / 2 / size,
        gate=run.gated,
    )
