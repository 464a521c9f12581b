"""A run directory of any size, made by scripted players instead of training.

Its episodes are real ones of the task; log-probabilities, learner's quantities and metrics are
drawn at random. It is for measurements and tests of what reads run directories, never for results.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lmrl.data.store import write_table
from lmrl.episode import play
from lmrl.files import write_json
from lmrl.runs.names import (
    CONFIG,
    LAST,
    MARKER,
    METRICS,
    SCORES,
    STATUS,
    SUMMARY,
    checkpoint,
    episodes_file,
    evaluated,
    learner_file,
    training_file,
)
from lmrl.schema import to_table
from lmrl.scoring.score import score_of
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.tokens.tokenizer import train_tokenizer
from lmrl.trajectory import Trajectory

QUANTITIES = ("log_prob", "entropy", "value", "advantage")
"""Quantities that the learner stores in such a run."""


def make_run(
    folder: Path,
    task: str = "maze-fo",
    algorithm: str = "ppo",
    seed: int = 0,
    updates: int = 4,
    episodes: int = 8,
    scored: int = 10,
    learned: int = 2,
    **options: Any,
) -> Path:
    """Write a run directory and return it.

    Args:
        folder: the directory; made if it is missing.
        task: name of the task.
        algorithm: name of the algorithm in its configuration.
        seed: seed of the run.
        updates: number of updates.
        episodes: training episodes of each update.
        scored: episodes of each evaluation.
        learned: episodes of each update with the learner's quantities.
        options: options of the task.
    """
    rng = np.random.default_rng(seed)
    env = make(task, **options)
    samples = [play(env, "random", i, task, options) for i in range(20)]
    home = checkpoint(folder, LAST)
    home.mkdir(parents=True)
    train_tokenizer([text for e in samples for text in _texts(e)], 320, home)
    codec = Codec.load(home)

    def played(player: str, number: int, version: int, name: str) -> Trajectory:
        return _sampled(play(env, player, number, task, options, codec), rng, version, name)

    (folder / MARKER).write_text("{}")
    _config(folder, task, algorithm, seed, updates, options)
    lines = []
    for update in range(1, updates + 1):
        # The share of good play grows, so that the curve looks like one of training.
        share = update / updates
        batch = [
            played("optimal" if rng.random() < share else "random", 1000 * update + i, update, "v")
            for i in range(episodes)
        ]
        file = training_file(update)
        write_table(to_table(batch), episodes_file(folder, "training", file))
        _learner(folder, file, batch[:learned], rng)
        lines.append(_metrics(update, batch, rng))
    (folder / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = []
    for label, player, update in (
        ("random", "random", 0),
        ("bc", "mixture", 0),
        (algorithm, "optimal", updates),
    ):
        batch = [played(player, 10**9 + i, update, label) for i in range(scored)]
        write_table(to_table(batch), episodes_file(folder, "evaluation", evaluated(label, update)))
        found = score_of(batch, env).to_json()
        rows.append({"policy": label, "update": update, **found})
    (folder / SCORES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    _summary(folder, {row["policy"]: row for row in rows}, updates * episodes, 3 * scored)
    return folder


def _texts(episode: Trajectory) -> list[str]:
    return [text for turn in episode.turns for text in (turn.observation, turn.action)]


def _sampled(episode: Trajectory, rng: np.random.Generator, version: int, name: str) -> Trajectory:
    """Return an episode with log-probabilities and versions, as if a model had sampled it."""
    turns = tuple(
        replace(
            turn,
            logprobs=-rng.exponential(0.3, len(turn.action_ids)).astype(np.float32),
            versions=np.full(len(turn.action_ids), version, np.int32),
        )
        for turn in episode.turns
    )
    return replace(episode, turns=turns, player=f"v{version}" if name == "v" else name)


def _learner(folder: Path, name: str, batch: list[Trajectory], rng: np.random.Generator) -> None:
    """Write the learner's quantities of the first training episodes of a file."""
    values = {
        quantity: pa.array(
            [rng.normal(size=e.executed().action_tokens).astype(np.float32) for e in batch],
            pa.list_(pa.float32()),
        )
        for quantity in QUANTITIES
    }
    rows = pa.array(range(len(batch)), pa.int32())
    write_table(pa.table({"row": rows, **values}), learner_file(folder, "training", name))


def _metrics(update: int, batch: list[Trajectory], rng: np.random.Generator) -> dict[str, float]:
    drawn = {
        "train/loss": rng.exponential(0.3),
        "train/entropy": 1 / update + 0.05 * rng.random(),
        "train/approx_kl": 0.01 * rng.random(),
        "train/sampler_gap": 1e-7 * rng.exponential(),
        "push/max_abs": 1e-5 * rng.exponential(),
        "push/push_ms": 40 + 10 * rng.random(),
        "train/made_up": rng.normal(),
    }
    return {
        "update": update,
        "time": 1.7e9 + 3 * update,
        **{name: float(value) for name, value in drawn.items()},
        "rollout/return_mean": float(np.mean([e.total_reward for e in batch])),
        "rollout/length_mean": float(np.mean([len(e.turns) for e in batch])),
        "rollout/episodes": float(len(batch)),
        "rollout/staleness": 0.0,
    }


def _config(
    folder: Path, task: str, algorithm: str, seed: int, updates: int, options: dict[str, Any]
) -> None:
    write_json(
        folder / CONFIG,
        {
            "task": task,
            "algorithm": {"name": algorithm, "gamma": 0.99},
            "options": options,
            "seed": seed,
            "updates": updates,
            "learner": {"optimiser": {"lr": 0.0005}},
            "provenance": {"versions": {"numpy": np.__version__}, "commit": "unknown"},
        },
    )


def _summary(folder: Path, scores: dict[str, Any], trained: int, scored: int) -> None:
    ledger = {"started": trained + scored, "trained": trained, "evaluated": scored}
    write_json(
        folder / SUMMARY,
        {
            "scores": scores,
            "parity": {"max_abs": 1.2e-5, "pushes": 5},
            "ledger": {**ledger, "stale": 0, "failed": 0},
            "seconds": {"launch": 12.0, "sample": 60.0, "learn": 30.0, "total": 110.0},
        },
    )
    write_json(folder / STATUS, {"phase": "finished", "update": len(scores)})
