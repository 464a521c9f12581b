"""Episodes that are played while the learner works: pushes in between, bounds, faults, resume."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

from actors.messages import Contexts, Decoding, Request  # noqa: E402
from cluster.fleet import Fleet  # noqa: E402
from cluster.ledger import Ledger  # noqa: E402
from cluster.online import OnlineSource, oldest_versions  # noqa: E402
from cluster.presets import preset  # noqa: E402
from cluster.train import train  # noqa: E402
from cluster.weights.push import push  # noqa: E402
from lmrl.runs.log import RunLog  # noqa: E402
from lmrl.schema import from_table  # noqa: E402

UPDATES, AHEAD = 6, 2


def experiment(checkpoint: Path, **changes: Any) -> Any:
    exp = preset("maze-fo-ppo")
    return replace(
        exp,
        algorithm=replace(exp.algorithm, importance_cap=2.0),
        updates=UPDATES,
        max_staleness=AHEAD,
        save_every=2,
        keep=9,
        model=replace(exp.model, path=str(checkpoint)),
        options={"max_steps": 12},
        rollouts=replace(exp.rollouts, turns=120, min_episodes=12, max_episodes=24),
        evaluation=replace(exp.evaluation, episodes=8, start_episodes=0, random=False),
        **changes,
    )


@pytest.fixture(scope="module")
def finished(local_ray: None, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "ahead"
    train(experiment(checkpoint), RunLog(folder))
    return folder


def updates(folder: Path) -> list[pa.Table]:
    files = sorted((folder / "trajectories" / "training").glob("update-*.parquet"))
    return [pq.read_table(file) for file in files]


def check(folder: Path) -> dict[str, Any]:
    """Check that every episode is used once and in time; return the summary."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    assert Ledger(**summary["ledger"]).open == 0
    tables = updates(folder)
    assert len(tables) == UPDATES
    seeds = np.concatenate([table["seed"].to_numpy() for table in tables])
    assert len(set(seeds)) == len(seeds) == summary["ledger"]["trained"]
    for version, table in enumerate(tables):
        ages = version - oldest_versions(table, version)
        assert 0 <= ages.min() <= ages.max() <= AHEAD
    counts = {int(age): count for age, count in summary["token_ages"].items()}
    tokens = sum(len(t.action_ids) for table in tables for e in from_table(table) for t in e.turns)
    assert sum(counts.values()) == tokens and max(counts) <= AHEAD
    return summary


def test_no_token_is_older_than_allowed_and_no_episode_is_lost(finished: Path) -> None:
    summary = check(finished)
    assert set(summary["token_ages"]) - {"0"}  # some were sampled before the newest push
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").open()]
    assert [row["update"] for row in rows] == list(range(1, UPDATES + 1))
    assert max(row["rollout/staleness"] for row in rows) == max(map(int, summary["token_ages"]))
    # The newest policy differs from the one that sampled, and the weights say so.
    assert any(row["train/importance"] != 1.0 for row in rows)


def test_a_resumed_run_plays_what_was_not_learned_from(
    finished: Path, checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    (folder / "summary.json").unlink()
    last = folder / "checkpoints" / "last"
    shutil.rmtree(last.resolve())
    last.unlink()
    last.symlink_to("step-2")
    state = json.loads((folder / "checkpoints" / "step-2" / "state.json").read_text())
    pending = {tuple(episode) for episode in state["position"]["pending"]}
    assert pending and len(pending) == Ledger(**state["ledger"]).open
    train(experiment(checkpoint), RunLog(folder), resume=True)
    summary = check(folder)
    assert summary["ledger"]["resubmitted"] == len(pending)
    played = {seed for table in updates(folder)[2:] for seed in table["seed"].to_pylist()}
    assert {seed for seed, _ in pending} <= played


@pytest.mark.parametrize("victim", ["sampler", "simulator"])
def test_an_actor_that_dies_while_episodes_are_played_ahead_loses_none(
    fleet: Fleet, tmp_path: Path, victim: str
) -> None:
    shared, exp = fleet, fleet.experiment
    assert fleet.weights is not None
    first = fleet.weights.version
    fleet = replace(
        fleet,
        ledger=Ledger(),
        experiment=replace(
            exp,
            options={"max_steps": 20},
            max_staleness=1,
            updates=first + 4,
            rollouts=replace(exp.rollouts, turns=200, min_episodes=16, max_episodes=32),
        ),
    )
    source = OnlineSource(fleet.experiment, tmp_path)
    seeds: list[int] = []
    for version in range(first, first + 4):
        if version == first + 2:
            actor = fleet.samplers[0] if victim == "sampler" else fleet.simulators[0]
            os.kill(ray.get(actor.state.remote())["pid"], signal.SIGKILL)
        batch = source.take(fleet)
        fleet.ledger.trained += batch.trained
        seeds += batch.tables[0]["seed"].to_pylist()
        assert batch.staleness <= 1
        push(fleet, version + 1)
        shared.weights = fleet.weights
    source.close(fleet)
    assert fleet.ledger.open == 0 and len(set(seeds)) == len(seeds) == fleet.ledger.trained


def test_requests_live_through_a_push(fleet: Fleet) -> None:
    """Those that run go on under the new weights, and those that come meanwhile wait for them."""
    assert fleet.weights is not None
    sampler, old = fleet.samplers[0], fleet.weights.version
    contexts = [np.arange(5, 9 + n, dtype=np.int32) for n in range(6)]
    decoding = Decoding(max_tokens=40, seed=3)

    def ask(client: str) -> Any:
        requests = [Request(key, ids, key) for key, ids in enumerate(contexts)]
        return sampler.generate.remote(client, Contexts.pack(requests), decoding)

    def rest(client: str, first: Any) -> dict[int, Any]:
        replies = dict(ray.get(first).unpack())
        while len(replies) < len(contexts):
            more = sampler.generate.remote(client, Contexts.pack([]), decoding)
            replies |= dict(ray.get(more).unpack())
        return replies

    before = ask("before")
    ray.get(sampler.begin_load.remote())
    during = ask("during")
    ready, _ = ray.wait([during], timeout=1.0)
    assert not ready  # it waits for the version
    for bucket in fleet.weights.buckets:
        ray.get(sampler.load.remote(bucket))
    ray.get(sampler.finish_load.remote(old + 1))
    early, late = rest("before", before), rest("during", during)
    assert sorted(early) == sorted(late) == list(range(len(contexts)))
    assert {int(v) for reply in early.values() for v in reply.versions} <= {old, old + 1}
    assert {int(v) for reply in late.values() for v in reply.versions} == {old + 1}
    push(fleet, old + 1)
