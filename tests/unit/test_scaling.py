"""The model of `benchmarks.scaling` against laws and closed forms, and its service times."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scaling.model import System, simulate
from benchmarks.scaling.prediction import best_division, strong, weak
from benchmarks.scaling.runs import measured
from benchmarks.scaling.steps import line
from benchmarks.scaling.times import Times, read
from lmrl.errors import DataError

ENGINE = Times(step=0.01, step_each=0.001)


def test_one_episode_takes_its_steps() -> None:
    system = System(samplers=1, episodes=1, turns=3, long_tailed=False, tokens=4)
    outcome = simulate(ENGINE, system)
    assert outcome.seconds == pytest.approx(3 * 4 * 0.011)
    assert (outcome.turns, outcome.episodes) == (3, 1)


def test_a_batch_shares_steps() -> None:
    # All episodes in lock-step: as long as one of them, with the longer steps of a full batch.
    system = System(samplers=1, episodes=8, at_once=8, turns=5, long_tailed=False, tokens=2)
    assert simulate(ENGINE, system).seconds == pytest.approx(5 * 2 * (0.01 + 8 * 0.001))
    halves = replace(system, at_once=4)
    assert simulate(ENGINE, halves).seconds == pytest.approx(2 * 5 * 2 * (0.01 + 4 * 0.001))


def test_samplers_without_shared_stages_scale_without_loss() -> None:
    one = System(samplers=1, episodes=16, at_once=4, turns=4, long_tailed=False)
    many = replace(one, samplers=32, episodes=16 * 32)
    assert simulate(ENGINE, many).seconds == pytest.approx(simulate(ENGINE, one).seconds)


def test_littles_law() -> None:
    # Mean number in the system = rate x mean time in it. With a step that does not depend on the
    # batch an action takes `tokens` steps, and the batch is full until the end of the round.
    times = Times(step=0.01, step_each=0.0, linger=0.0)
    system = System(samplers=1, episodes=4000, at_once=8, turns=6, tokens=5, seed=3)
    outcome = simulate(times, system)
    assert outcome.turns / outcome.episodes == pytest.approx(6, rel=0.05)
    assert outcome.turns_per_s * 5 * 0.01 == pytest.approx(8, rel=0.02)


def test_a_shared_core_bounds_the_rate() -> None:
    times = replace(ENGINE, step=1e-4, step_each=0.0, turn=0.002)
    system = System(
        samplers=16, episodes=640, at_once=8, turns=5, long_tailed=False, tokens=1, cores=2
    )
    outcome = simulate(times, system)
    assert outcome.saturated == "cores"
    assert outcome.turns_per_s == pytest.approx(2 / 0.002, rel=0.02)


def test_the_driver_bounds_the_rate() -> None:
    times = replace(ENGINE, episode=0.01)
    system = System(samplers=64, episodes=1280, turns=1, long_tailed=False, tokens=1, flush=1)
    outcome = simulate(times, system)
    assert outcome.saturated == "driver"
    assert outcome.episodes / outcome.seconds == pytest.approx(100, rel=0.02)


TRAINING = System(
    samplers=1, episodes=8, at_once=8, turns=5, long_tailed=False, tokens=2, updates=10
)
LEARNING = replace(ENGINE, learn=0.5, bytes=1e6, gather=1e-8, load=1e-8, gate=0.03)


def test_an_update_without_episodes_ahead_is_the_sum_of_its_parts() -> None:
    outcome = simulate(LEARNING, TRAINING)
    played = 5 * 2 * (0.01 + 8 * 0.001)
    assert outcome.seconds == pytest.approx(10 * (played + 0.5 + 0.02 + 0.03))
    assert outcome.waited == pytest.approx(10 * played)
    assert outcome.busy["learner"] == pytest.approx(5.0 / outcome.seconds)
    assert outcome.updates[-1] == pytest.approx(outcome.seconds, abs=0.1)
    assert len(outcome.updates) == 10


def test_episodes_ahead_hide_behind_learning() -> None:
    ahead = simulate(LEARNING, replace(TRAINING, staleness=1, at_once=24))
    # Only the first update waits; the pushes stop the samplers, and learning is the slower side.
    assert ahead.busy["learner"] > 0.85
    assert ahead.dropped == 0


def test_tokens_that_are_too_old_are_dropped_and_replaced() -> None:
    slow = replace(LEARNING, learn=0.01)
    long = replace(TRAINING, long_tailed=True, turns=20, staleness=1, updates=20, seed=1)
    outcome = simulate(slow, long)
    assert outcome.dropped > 0
    assert outcome.episodes >= 20 * 8 + outcome.dropped


def test_failures_cost_time() -> None:
    system = System(samplers=4, episodes=400, at_once=8, turns=10, seed=2)
    whole = simulate(ENGINE, system)
    failing = simulate(ENGINE, replace(system, mtbf=5.0, restart=2.0))
    assert failing.episodes == whole.episodes == 400
    assert failing.seconds > whole.seconds + 2.0


def test_the_same_seed_gives_the_same_run() -> None:
    system = replace(TRAINING, long_tailed=True, samplers=3, mtbf=2.0, restart=0.1)
    assert simulate(LEARNING, system) == simulate(LEARNING, system)
    assert simulate(LEARNING, system) != simulate(LEARNING, replace(system, seed=1))


def test_weak_scaling_breaks_where_the_driver_is_busy() -> None:
    times = replace(LEARNING, episode=2e-3, learn=0.1)
    rows = weak(times, replace(TRAINING, updates=2), [1, 64])
    assert rows[0]["efficiency"] == 1.0
    assert rows[1]["efficiency"] < 0.9
    assert rows[1]["busy"]["driver"] > rows[0]["busy"]["driver"]
    assert rows[1]["episodes"] == 64 * 8


def test_strong_scaling_keeps_the_episodes() -> None:
    rows = strong(LEARNING, replace(TRAINING, updates=2), [1, 8])
    assert [row["episodes"] for row in rows] == [64, 64]
    assert rows[1]["turns_per_s"] > rows[0]["turns_per_s"]


def test_the_best_division_gives_the_slower_side_more() -> None:
    system = replace(TRAINING, episodes=256, updates=2, staleness=1)
    learning = replace(ENGINE, learn_token=0.01)
    sampling = replace(ENGINE, learn_token=1e-6)
    assert best_division(learning, system, 16)[0]["ranks"] == 8
    assert best_division(sampling, system, 16)[0]["ranks"] == 1


def test_service_times_are_read_from_results_too(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(ENGINE.to_json()))
    assert read(path) == ENGINE
    path.write_text(json.dumps({"times": ENGINE.to_json(), "date": "today"}))
    assert read(path) == ENGINE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": 1}', '{"step": -1, "step_each": 0}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"times\.json"):
        read(path)


def test_a_line_through_step_times() -> None:
    step, each = line({"1": [0.011, 0.5, 0.011], "11": [0.021], "21": [0.031]})
    assert step == pytest.approx(0.01)
    assert each == pytest.approx(0.001)


def test_medians_of_a_run_leave_out_its_first_update() -> None:
    row = {
        "rollout/episodes": 32,
        "rollout/length_mean": 10.0,
        "rollout/tokens_per_s": 60.0,
        "rollout/turns_per_s": 20.0,
        "rollout/wait_seconds": 2.0,
        "train/update_seconds": 1.0,
        "push/push_ms": 100.0,
        "push/gate_ms": 50.0,
        "push/megabytes": 3.0,
    }
    first = {**row, "rollout/wait_seconds": 100.0}
    found = measured([{"other": 1}, first, row, row], staleness=0)
    assert found.tokens == 3.0
    assert found.seconds == pytest.approx(3.15)
