"""The long-tailed task and the figures of the rollout benchmark; the lock-step loop's order."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.engine import Running
from actors.messages import Decoding, Request
from benchmarks.rollout.__main__ import row
from benchmarks.rollout.cases import SHORT, TAIL, Case
from benchmarks.rollout.lock_step import play
from lmrl.episode import Reply
from lmrl.tasks import TASKS, make
from lmrl.tasks.contract import check
from lmrl.tokens.codec import Codec
from lmrl.tokens.tokenizer import train_tokenizer


def test_the_long_tailed_task_keeps_the_contract() -> None:
    for finding in check(TAIL, {}, 5):
        assert finding.ok, finding


def test_lengths_are_geometric() -> None:
    env = make(TAIL, mean=8.0, limit=1000)
    lengths = []
    for seed in range(2000):
        env.reset(seed=seed)
        lengths.append(env.state.left)
    assert np.mean(lengths) == pytest.approx(8.0, rel=0.08)
    assert np.var(lengths) == pytest.approx(8.0 * 7.0, rel=0.2)


def test_limits_are_options_of_their_tasks() -> None:
    for name, options in SHORT.items():
        assert name in TASKS
        make(name, **options)


@dataclass
class Answering:
    """An engine whose requests finish one after the other."""

    asked: list[int] = field(default_factory=list)
    waiting: list[Request] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    def submit(self, client: str, requests: list[Request], decoding: Decoding) -> None:
        assert not self.waiting, "a round began before the last one had ended"
        self.asked.append(len(requests))
        self.waiting = list(requests)

    def step(self) -> list[tuple[Running, Reply]]:
        request = self.waiting.pop()
        ids = np.zeros(1, np.int32)
        return [(Running("lock-step", request.key), Reply(ids, np.zeros(1, np.float32), ids))]


def test_the_lock_step_loop_waits_for_the_longest_episode(tmp_path: Path) -> None:
    train_tokenizer(["go on\n"], 300, tmp_path)
    codec = Codec.load(tmp_path)
    case = Case("tail", TAIL, {"mean": 3.0}, episodes=6, width=4)
    env = make(TAIL, mean=3.0)
    lengths = []
    for seed in range(6):
        env.reset(seed=seed)
        lengths.append(env.state.left)
    engine: Any = Answering()
    found = play(engine, codec, case, 64)
    assert found["turns"] == sum(lengths) == sum(engine.asked)
    assert len(engine.asked) == max(lengths[:4]) + max(lengths[4:])


def test_the_ratio_is_that_of_episodes_per_second() -> None:
    ours = [{"seconds": 2.0, "turns": 40, "episodes": 8}]
    theirs = [{"seconds": 4.0, "turns": 44, "episodes": 8}]
    found = row(Case("x", TAIL), ours, theirs)
    assert found["ratio"] == 2.0
    assert found["steps_per_s"]["median"] == 20.0
    assert found["lock_step_steps_per_s"]["median"] == 11.0
