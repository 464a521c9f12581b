"""Episodes that are played ahead: each is used once, none is older than allowed, none is lost."""

import random
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actors.messages import EpisodeId, Failure, Finished, Job
from cluster.ledger import Ledger
from cluster.online import OnlineSource, Pool, token_ages
from cluster.presets import preset
from cluster.source import SourceState
from learners.algorithms.online.ppo import PPO
from lmrl.episode import play
from lmrl.errors import RunError, UsageError
from lmrl.schema import to_table
from lmrl.screen import Screen
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

ENV = make("maze-fo", max_steps=2)


def episode(seed: int, *versions: int) -> Trajectory:
    """Return an episode of one turn, whose tokens have these versions."""
    played = play(ENV, "random", seed, "maze-fo", {"max_steps": 2})
    ids = np.arange(len(versions), dtype=np.int32)
    turn = replace(
        played.turns[0],
        action_ids=ids,
        logprobs=np.zeros(len(ids), np.float32),
        versions=np.array(versions, np.int32),
    )
    return replace(played, turns=(turn,))


def finished(*episodes: tuple[EpisodeId, Trajectory], failed: Any = ()) -> Finished:
    table = to_table([trajectory for _, trajectory in episodes])
    failures = [Failure(*known, "ValueError: no", "") for known in failed]
    return Finished(table, [known.member for known, _ in episodes], failures, {})


class Played:
    """A stream in which submitted episodes end in a random order, and some of them fail.

    Args:
        fleet: fleet with the version that samples, and the ledger.
        chance: source of the order.
        failing: share of episodes that fail.
        stopping: probability of a signal before an episode.
    """

    def __init__(
        self, fleet: Any, chance: random.Random, failing: float, stopping: float = 0.0
    ) -> None:
        self.fleet, self.chance, self.failing = fleet, chance, failing
        self.stopping = stopping
        self.playing: list[tuple[EpisodeId, int]] = []
        self.known: Counter[EpisodeId] = Counter()

    @property
    def open(self) -> bool:
        return bool(self.playing)

    def watch(self) -> None:
        """Nothing is monitored."""

    def submit(self, job: Job, again: bool = False) -> None:
        if not again:
            self.fleet.ledger.started += len(job.episodes)
        for known in job.episodes:
            self.known[known] += 1
            self.playing.append((known, self.fleet.weights.version))

    def collect(self) -> list[Finished]:
        if self.chance.random() < self.stopping:
            raise KeyboardInterrupt
        known, first = self.playing.pop(self.chance.randrange(len(self.playing)))
        if self.chance.random() < self.failing:
            self.fleet.ledger.failed += 1
            return [finished(failed=[known])]
        # The last token is sampled by the newest policy.
        played = episode(known.seed, first, self.fleet.weights.version)
        return [finished((known, played))]


def source_of(
    exp: Any, folder: Path, chance: random.Random, failing: float, stopping: float = 0.0
) -> tuple[OnlineSource, Any]:
    fleet = SimpleNamespace(
        experiment=exp, ledger=Ledger(), weights=SimpleNamespace(version=0), screen=Screen()
    )
    stream = Played(fleet, chance, failing, stopping)
    source: Any = OnlineSource(exp, folder)
    source.stream = stream
    return source, SimpleNamespace(fleet=fleet)


@settings(max_examples=60, deadline=None)
@given(
    ahead=st.integers(0, 3),
    group=st.sampled_from([1, 3]),
    failing=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 10**6),
    stop=st.integers(1, 6),
    stopping=st.sampled_from([0.0, 0.05]),
)
def test_every_episode_is_used_once_and_none_is_too_old(
    tmp_path_factory: Any,
    ahead: int,
    group: int,
    failing: float,
    seed: int,
    stop: int,
    stopping: float,
) -> None:
    """A run that stops after some updates, or while episodes are played, and is resumed plays what
    had not been learned from."""
    exp = preset("maze-fo-ppo")
    exp = replace(
        exp,
        algorithm=PPO(group=group, kl_coef=0.0, importance_cap=2.0),
        updates=6,
        max_staleness=ahead,
        rollouts=replace(exp.rollouts, turns=12, min_episodes=4, max_episodes=12),
    )
    chance = random.Random(seed)
    used: Counter[EpisodeId] = Counter()
    folder = tmp_path_factory.mktemp("run")
    source, run = source_of(exp, folder, chance, failing, stopping)

    def resumed(version: int) -> tuple[OnlineSource, Any]:
        state = SourceState(**asdict(source.state()))
        again, other = source_of(exp, folder, chance, failing, stopping)
        again.position, other.fleet.ledger = state, Ledger(**run.fleet.ledger.to_json())
        other.fleet.weights.version = version
        assert other.fleet.ledger.open == len(state.pending)
        return again, other

    update = 0
    while update < exp.updates:
        try:
            batch = source.take(run.fleet)
        except KeyboardInterrupt:
            source, run = resumed(update)
            continue
        except RunError:  # every episode of a round failed, which ends a run
            assume(not failing)
            raise
        update += 1
        table: pa.Table = batch.tables[0]
        run.fleet.ledger.trained += batch.trained
        assert batch.staleness <= ahead and len(batch.ages) <= ahead + 1
        assert batch.ages.sum() == 2 * table.num_rows == 2 * batch.trained
        assert table["seed"].to_pylist() == sorted(table["seed"].to_pylist())
        used.update(
            EpisodeId(s, m)
            for s in set(table["seed"].to_pylist())
            for m in range(table["seed"].to_pylist().count(s))
        )
        # No more is started than the allowed number of updates needs.
        assert len(source.pool.untaken()) <= (ahead + 1) * 12
        if not failing:
            assert batch.trained >= 4
        run.fleet.weights.version = update
        if update == stop:
            source, run = resumed(update)
    stream: Any = source.stream
    stream.stopping = 0.0
    source.close(run.fleet)
    assert run.fleet.ledger.open == 0
    assert not source.state().pending
    assert max(used.values()) == 1


def test_an_update_without_any_episode_ends_the_run(tmp_path: Path) -> None:
    exp = preset("maze-fo-ppo")
    source, run = source_of(exp, tmp_path, random.Random(0), 1.0)
    with pytest.raises(RunError, match="every one of the 64 episodes of this round failed"):
        source.take(run.fleet)


def test_episodes_that_are_too_old_are_dropped_and_counted(tmp_path: Path) -> None:
    exp = preset("maze-fo-ppo")
    exp = replace(
        exp,
        max_staleness=1,
        updates=50,
        rollouts=replace(exp.rollouts, turns=4, min_episodes=4, max_episodes=4),
    )
    source, run = source_of(exp, tmp_path, random.Random(0), 0.0)
    source.take(run.fleet)
    run.fleet.weights.version = 5  # four versions at once
    batch = source.take(run.fleet)
    assert run.fleet.ledger.stale > 0
    assert batch.staleness <= 1 and batch.trained == 4  # others took their places


def test_a_pool_gives_whole_groups_the_oldest_first() -> None:
    pool = Pool()
    a0, a1, b0, c0 = EpisodeId(1, 0), EpisodeId(1, 1), EpisodeId(2), EpisodeId(3)
    pool.start([a0, a1, b0, c0])
    pool.arrived(finished((c0, episode(3, 0)), (a1, episode(1, 0))))
    assert pool.ended() == [3]
    pool.arrived(finished((b0, episode(2, 0)), failed=[a0]))
    assert pool.ended() == [1, 2, 3]
    assert pool.take([1, 3], oldest=0) == (2, 0)
    assert pool.untaken() == [a1, b0, c0]
    assert pool.release()["seed"].to_pylist() == [1, 3]
    assert pool.untaken() == [b0]
    assert pool.take([2], oldest=1) == (0, 1)
    assert not pool.untaken()


def test_ages_of_tokens_are_counted() -> None:
    table = to_table([episode(1, 3, 3, 5), episode(2, 4)])
    assert token_ages(table, 5).tolist() == [1, 1, 2]
    assert token_ages(to_table([]), 5).tolist() == []


def test_episodes_ahead_need_importance_weights() -> None:
    exp = replace(preset("maze-fo-ppo"), max_staleness=2)
    with pytest.raises(UsageError, match=r"set algorithm\.importance_cap, for example to 2"):
        exp.check()
    exp = replace(exp, algorithm=PPO(importance_cap=2.0, kl_coef=0.05))
    exp.check()
    with pytest.raises(UsageError, match=r"set sampler\.sleep false"):
        replace(exp, sampler=replace(exp.sampler, sleep=True)).check()


def test_a_resumed_run_with_no_update_left_drops_and_counts_what_was_started(
    tmp_path: Path,
) -> None:
    """It ended within its last update, or got fewer updates as it went on."""
    exp = replace(preset("maze-fo-ppo"), max_staleness=2, updates=50)
    source, run = source_of(exp, tmp_path, random.Random(0), 0.0)
    run.fleet.ledger.trained += source.take(run.fleet).trained
    again = OnlineSource(exp, tmp_path)
    again.position = SourceState(**asdict(source.state()))
    assert len(again.position.pending) == run.fleet.ledger.open > 0
    again.close(run.fleet)
    assert run.fleet.ledger.open == 0
    assert not again.state().pending
