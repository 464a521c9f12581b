"""Where updates' episodes come from: the cloning term's data and their position."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cluster.online import OnlineSource, segments
from cluster.presets import preset
from cluster.source import SourceState
from cluster.stream import evaluation_job
from learners.algorithms.online.ppo import PPO
from learners.collate import collate
from lmrl.data.generate import episodes
from lmrl.data.store import write
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.schema import from_table, table_groups, to_table
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.trajectory import NO_SEED


def test_each_optimiser_step_clones_new_episodes_and_a_resumed_run_goes_on(
    tmp_path: Path,
) -> None:
    write(episodes(make("maze-fo"), "maze-fo", 200, 0, "optimal", {}), tmp_path / "data")
    exp = preset("maze-fo-ppo")
    exp = replace(
        exp,
        algorithm=PPO(bc_coef=1.0, epochs=2, minibatch=8, kl_coef=0.0),
        data=replace(exp.data, path=str(tmp_path / "data"), batch=3),
    )
    env = make("maze-fo", max_steps=15)
    rounds = [
        [to_table([play(env, "random", 10 * number + seed, "maze-fo") for seed in range(4)])]
        for number in range(3)
    ]

    def seeds(source: OnlineSource, number: int) -> list[list[int]]:
        tables = source._cloned(rounds[number])
        assert tables is not None
        return [table["seed"].to_pylist() for table in tables]

    whole = OnlineSource(exp, tmp_path)
    drawn = [seeds(whole, number) for number in range(3)]
    for steps, tables in zip(drawn, rounds, strict=True):
        assert len(steps) == 2 * round(segments(tables[0]) / 8) > 2
        assert all(len(step) == 3 for step in steps)
    flat = [seed for steps in drawn for step in steps for seed in step]
    assert len(set(flat)) == len(flat)  # nothing twice
    assert whole.position.cloned == len(flat) and whole.position.taken == 0

    broken = OnlineSource(exp, tmp_path)
    assert [seeds(broken, number) for number in range(2)] == drawn[:2]
    resumed = OnlineSource(exp, tmp_path)
    resumed.position = SourceState(**asdict(broken.position))
    assert seeds(resumed, 2) == drawn[2]


def test_segments_are_those_of_the_batch(checkpoint: Path) -> None:
    codec = Codec.load(checkpoint)
    for task, options in (
        ("maze-fo", {"max_steps": 7}),
        ("maze-po", {"max_steps": 30}),
        ("wordle", {}),
    ):
        env = make(task, **options)
        made = [play(env, "random", seed, task) for seed in range(6)]
        batch = collate([replace(codec.read(t), info={}) for t in made])
        assert segments(to_table(made)) == int((batch.segment_turns > 0).sum()), task
        assert segments(to_table(made).slice(2, 2)) == segments(to_table(made[2:4]))
    assert segments(to_table([])) == 0
    assert np.isfinite([t.total_reward for t in from_table(to_table(made))]).all()


@pytest.mark.parametrize(
    ("group", "wanted", "groups"),
    [
        (1, 100, 100),
        (1, 10, 64),
        (1, 900, 256),
        (8, 100, 12),
        (8, 10, 8),
        (8, 900, 32),
        (60, 64, 2),
    ],
)
def test_a_round_is_whole_groups_within_its_bounds(
    tmp_path: Path, group: int, wanted: int, groups: int
) -> None:
    exp = replace(preset("maze-fo-ppo"), algorithm=PPO(group=group))
    assert OnlineSource(exp, tmp_path)._groups(wanted) == groups


def test_a_group_larger_than_a_round_is_refused() -> None:
    exp = replace(preset("maze-fo-ppo"), algorithm=PPO(group=300))
    with pytest.raises(
        UsageError, match=r"algorithm\.group 300 exceeds rollouts\.max_episodes 256"
    ):
        exp.check()


def test_episodes_of_a_group_have_the_same_seed_and_other_members() -> None:
    exp = replace(preset("maze-fo-ppo"), algorithm=PPO(group=3))
    fleet: Any = SimpleNamespace(experiment=exp)
    assert evaluation_job(fleet, [5, 9], "v2").episodes == [(5, 0), (9, 0)]


def test_groups_of_a_table_begin_in_the_same_state() -> None:
    fo, po = make("maze-fo", max_steps=3), make("maze-po", max_steps=3)
    made = [
        play(env, player, seed, task)
        for env, task in ((fo, "maze-fo"), (po, "maze-po"))
        for player, seed in (("random", 4), ("optimal", 4), ("random", 5))
    ]
    elsewhere = [replace(made[0], seed=NO_SEED, info={"imported": "file"}) for _ in range(2)]
    assert table_groups(to_table(made + elsewhere)).tolist() == [0, 0, 1, 2, 2, 3, 4, 5]
    assert table_groups(to_table([])).tolist() == []
