"""Experiments without a preset: defaults derived from the task, and what other packages offer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import presets
from cluster.fields import change, read_config
from cluster.presets.derived import derived, facts, sizes
from cluster.startup.start_policy import start_experiment
from learners.algorithms import registry
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.online.ppo import PPO
from lmrl import tasks
from lmrl.cli import main
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.tasks import make

OWN = "examples.own_task:GuessNumber"


@pytest.mark.parametrize("task", [*sorted(tasks.known()), OWN])
@pytest.mark.parametrize("name", ["ppo", "ilql"])
def test_every_algorithm_suits_every_task(task: str, name: str) -> None:
    exp = derived(name, task, {})
    exp.check()
    assert exp.start == "bc" and start_experiment(exp).algorithm.name == "bc"


@pytest.mark.parametrize("name", sorted(registry.ALGORITHMS))
def test_every_algorithm_has_defaults_for_a_task_of_ones_own(name: str) -> None:
    exp = derived(name, OWN, {})
    exp.check()
    assert (exp.start is None) == (name == "bc")


def test_values_are_in_the_range_of_the_task() -> None:
    env = make(OWN)
    ppo, ilql = (derived(name, OWN, {}).algorithm for name in ("ppo", "ilql"))
    assert isinstance(ppo, PPO) and ppo.value_start == env.score_range.data
    assert isinstance(ilql, ILQL) and ilql.value_bounds == (-10.0, 0.0)
    assert facts(make("car-dealer", reward_mode="fancy")).highest == 1.0


def test_contexts_and_actions_fit_what_players_say() -> None:
    action, context = sizes("maze-po", {}, ["optimal"])
    for seed in range(40):
        episode = play(make("maze-po"), "optimal", seed)
        assert max(len(turn.action) for turn in episode.turns) <= action
    assert context % 32 == 0 and 500 < context < 1000


def test_the_training_of_the_start_policy_is_changed_by_its_own_fields() -> None:
    exp = change(presets.preset("maze-fo-ppo"), [("start.updates", "7"), ("updates", "3")])
    assert exp.updates == 3 and start_experiment(exp).updates == 7
    assert start_experiment(exp).algorithm.name == "bc"
    fields = [("start.learner.optimiser.lr", "1e-4"), ("start.algorithm.observation_weight", "0")]
    exp = change(exp, fields)
    first = start_experiment(exp)
    assert first.updates == 7 and first.learner.optimiser.lr == 1e-4
    assert exp.to_json()["start_fields"]["updates"] == 7
    with pytest.raises(UsageError, match=r"give --model\.width, which is for both"):
        start_experiment(change(exp, [("start.model.width", "32")]))


def test_a_config_keeps_the_fields_of_the_start(tmp_path: Path) -> None:
    exp = change(presets.preset("maze-fo-ppo"), [("start.updates", "7")])
    (tmp_path / "config.json").write_text(json.dumps(exp.to_json()))
    assert read_config(tmp_path / "config.json") == exp


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that offers a task, an algorithm and a preset."""
    info = tmp_path / "offers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[lmrl.tasks]\nnumbers = examples.own_task:GuessNumber\n"
        "[lmrl.algorithms]\nweighted = examples.own_algorithm:RewardWeighted\n"
        "[lmrl.presets]\nours = offers:PRESETS\n"
    )
    (tmp_path / "offers.py").write_text(
        "from cluster.presets import PRESETS as KNOWN\n"
        "PRESETS = {'ours-ppo': KNOWN['maze-fo-ppo'], 'maze-fo-ppo': KNOWN['maze-fo-bc']}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = (tasks.known, registry.known, presets.known)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_packages_offer_tasks_algorithms_and_presets(
    package: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "weighted", "--task", "numbers", "--dry-run"]) == 0
    assert "on numbers" in capsys.readouterr().out
    assert main(["train", "--list"]) == 0
    assert "ours-ppo" in capsys.readouterr().out
    # A preset of this package keeps its name.
    assert presets.preset("maze-fo-ppo").algorithm.name == "ppo"
    assert main(["tasks", "numbers"]) == 0


def test_an_algorithm_takes_the_place_of_a_presets(capsys: pytest.CaptureFixture[str]) -> None:
    call = ["train", "wordle-bc", "--algorithm", "ilql", "--updates", "3", "--dry-run", "--json"]
    assert main(call) == 0
    exp = json.loads(capsys.readouterr().out)
    assert exp["algorithm"]["name"] == "ilql" and exp["model"]["vocabulary"] == 320
    assert exp["estimates"]["memory_gb"] > 1 and exp["estimates"]["parameters"] > 10_000
