"""The system itself: real vLLM, real DeepSpeed, real Ray, small models. Nothing is replaced."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ray = pytest.importorskip("ray")

from actors.config import SimulatorConfig  # noqa: E402
from actors.messages import (  # noqa: E402
    Contexts,
    Decoding,
    EngineFailed,
    EpisodeId,
    Failure,
    Job,
    Request,
    SamplerStale,
)
from actors.simulator import SimulatorActor  # noqa: E402
from cluster.fleet import Fleet, Weights  # noqa: E402
from cluster.health.monitor import ActorMonitor  # noqa: E402
from cluster.health.waits import ActorLost, fetch  # noqa: E402
from cluster.ledger import Ledger  # noqa: E402
from cluster.presets import preset  # noqa: E402
from cluster.startup.preflight import choose_device, cluster_nodes  # noqa: E402
from cluster.stream import EpisodeStream, episodes  # noqa: E402
from cluster.weights.push import await_all, gate, load_again, push  # noqa: E402
from learners.buckets import Bucket  # noqa: E402
from lmrl.errors import RunError, UsageError  # noqa: E402
from lmrl.schema import from_table  # noqa: E402
from lmrl.trajectory import Trajectory  # noqa: E402


def job(fleet: Fleet, seeds: list[int], **changes: Any) -> Job:
    exp = fleet.experiment
    decoding = Decoding(max_tokens=exp.rollouts.max_tokens, seed=5)
    wanted = [EpisodeId(seed) for seed in seeds]
    return Job(exp.task, {"max_steps": 12}, wanted, decoding)._replace(**changes)


def play(fleet: Fleet, work: Job) -> list[Trajectory]:
    tables = [finished.table for finished in episodes(fleet, work)]
    fleet.ledger.trained += sum(table.num_rows for table in tables)
    played = from_table(pa.concat_tables(tables)) if tables else []
    return sorted(played, key=lambda t: t.seed)


@contextmanager
def fresh_ledger(fleet: Fleet) -> Iterator[Ledger]:
    """Count from zero, and check at the end that nothing is unaccounted for."""
    fleet.ledger = Ledger()
    yield fleet.ledger
    assert fleet.ledger.open == 0, fleet.ledger


def test_samplers_and_learner_agree_after_every_push(fleet: Fleet) -> None:
    with fresh_ledger(fleet):
        for version in (1, 2):
            played = play(fleet, job(fleet, list(range(16))))
            metrics = fleet.learners.update([_table(played)])
            assert metrics["sampler_gap"] < 1e-4  # what was sampled is what the learner scores
            assert metrics["optimiser_steps"] >= 1
            report = push(fleet, version)
            assert report.max_abs < 1e-3 and report.pushed_again == 0
        again = play(fleet, job(fleet, list(range(100, 104))))
        assert {v for t in again for turn in t.turns for v in turn.versions.tolist()} == {2}


def _table(played: list[Trajectory]) -> pa.Table:
    from lmrl.schema import to_table

    return to_table(played)


def test_a_turn_is_sampled_from_exactly_its_context(fleet: Fleet) -> None:
    """Stored contexts, tokens and log-probs are those of the sampler: score them again."""
    with fresh_ledger(fleet):
        work = job(fleet, [3], task="maze-po")
        (trajectory,) = play(fleet, work)
    for context, turn in zip(trajectory.contexts(), trajectory.turns, strict=False):
        row = np.concatenate([context, turn.action_ids])
        scored = ray.get(fleet.samplers[0].score.remote([row]))[0][-len(turn.action_ids) :]
        assert np.abs(scored - turn.logprobs).max() < 1e-4


def test_the_same_seeds_sample_the_same_tokens(fleet: Fleet) -> None:
    with fresh_ledger(fleet):
        first = play(fleet, job(fleet, list(range(8))))
        second = play(fleet, job(fleet, [*range(8), *range(50, 70)]))[:8]
    said = [[turn.action_ids.tolist() for turn in t.turns] for t in first]
    assert said == [[turn.action_ids.tolist() for turn in t.turns] for t in second]


def test_a_stale_tensor_is_caught_and_pushed_again(fleet: Fleet) -> None:
    sampler, right = fleet.samplers[0], fleet.weights
    assert right is not None
    fleet.weights = Weights(right.version, [_spoilt(right)], right.sent)
    load_again(fleet, sampler)
    fleet.weights = right
    gaps, again = gate(fleet, [sampler])
    assert again == 1 and gaps[0].maximum < 1e-3


def test_weights_that_stay_wrong_stop_the_run_and_silence_the_sampler(fleet: Fleet) -> None:
    sampler, right = fleet.samplers[0], fleet.weights
    assert right is not None
    fleet.weights = Weights(right.version, [_spoilt(right)], right.sent)
    load_again(fleet, sampler)
    with pytest.raises(RunError, match=r"sampler 0 differs .* checksum of .*c_fc.weight is not"):
        gate(fleet, [sampler])
    assert ray.get(sampler.state.remote())["version"] is None
    fleet.weights = right
    load_again(fleet, sampler)
    assert gate(fleet, [sampler])[1] == 0


def _spoilt(right: Weights) -> Any:
    """Return the first bucket with one matrix as it might have been some versions ago."""
    bucket: Bucket = ray.get(right.buckets[0])
    data = bucket.data.copy()
    meta = next(m for m in bucket.metas if m.name.endswith("h.1.mlp.c_fc.weight"))
    size = 4 * int(np.prod(meta.shape))
    data[meta.offset : meta.offset + size].view(np.float32)[:] += 0.05
    return ray.put(Bucket(bucket.metas, data))


def test_a_tied_head_cannot_go_stale(fleet: Fleet) -> None:
    """The tied matrix arrives under its first name only, and the repacked head follows it."""
    sampler, right = fleet.samplers[0], fleet.weights
    assert right is not None
    bucket: Bucket = ray.get(right.buckets[0])
    assert "lm_head.weight" not in [meta.name for meta in bucket.metas]
    moved = bucket.data.copy()
    wte = next(meta for meta in bucket.metas if meta.name == "transformer.wte.weight")
    moved[wte.offset : wte.offset + wte.length].view(np.float32)[:] *= 1.5
    fleet.weights = Weights(right.version, [ray.put(Bucket(bucket.metas, moved))], right.sent)
    load_again(fleet, sampler)
    shifted = ray.get(sampler.score.remote(fleet.probes))
    difference = np.abs(np.concatenate(shifted) - np.concatenate(right.sent.logprobs))
    assert difference.max() > 0.05  # the head did follow the matrix that was moved
    fleet.weights = right
    load_again(fleet, sampler)
    gaps, again = gate(fleet, [sampler])
    assert again == 0 and gaps[0].maximum < 1e-3


def test_an_unfinished_push_leaves_the_sampler_silent(fleet: Fleet) -> None:
    sampler = fleet.samplers[0]
    ray.get(sampler.begin_load.remote())
    assert ray.get(sampler.state.remote())["version"] is None
    for bucket in fleet.weights.buckets:
        ray.get(sampler.load.remote(bucket))
    ray.get(sampler.finish_load.remote(fleet.weights.version))
    assert gate(fleet, [sampler])[1] == 0


def test_the_prefix_cache_serves_a_version_and_never_outlives_it(fleet: Fleet) -> None:
    sampler = fleet.samplers[0]
    context = np.concatenate(fleet.probes)[:52]
    decoding = Decoding(max_tokens=2, seed=1)

    def cached() -> int:
        before = ray.get(sampler.state.remote())["cached_tokens"]
        requests = Contexts.pack([Request(0, context, 1)])
        ray.get(sampler.generate.remote("cache-test", requests, decoding))
        return ray.get(sampler.state.remote())["cached_tokens"] - before

    cached()
    assert cached() == 32  # one block of the 52 tokens
    right = fleet.weights
    fleet.weights = Weights(right.version + 1, right.buckets, right.sent)
    load_again(fleet, sampler)
    assert cached() == 0
    fleet.weights = right
    load_again(fleet, sampler)


def test_prompts_that_exceed_a_step_together_are_all_answered(fleet: Fleet) -> None:
    """None of them may be cut over two steps: its seeded generator would be turned back."""
    sampler = fleet.samplers[0]
    room = fleet.experiment.max_context
    count = 2 + fleet.experiment.sampler.batched_tokens // room
    rng = np.random.default_rng(0)
    requests = [
        Request(key, rng.integers(1, 300, size=room - key % 5).astype(np.int32), key)
        for key in range(count)
    ]
    answered: dict[int, np.ndarray] = {}
    new = Contexts.pack(requests)
    decoding = Decoding(max_tokens=2, seed=1)
    while len(answered) < count:
        replies = ray.get(sampler.generate.remote("long-test", new, decoding), timeout=60)
        new = Contexts.pack([])
        answered |= {key: reply.ids for key, reply in replies.unpack()}
    assert all(len(ids) for ids in answered.values())


def test_a_sampler_whose_engine_raises_says_so_and_starts_again(fleet: Fleet) -> None:
    sampler, beyond = fleet.samplers[0], np.array([1, 10**6], np.int32)
    before = ray.get(sampler.state.remote())["pid"]
    work = Contexts.pack([Request(0, beyond, 1)])  # a token that no embedding has
    with pytest.raises((EngineFailed, ray.exceptions.RayActorError)):
        ray.get(sampler.generate.remote("broken", work, Decoding(max_tokens=1)), timeout=60)
    with fresh_ledger(fleet):
        assert len(play(fleet, job(fleet, list(range(4))))) == 4
    assert ray.get(sampler.state.remote())["pid"] != before


def test_a_sampler_that_missed_the_beginning_of_a_push_stays_silent(fleet: Fleet) -> None:
    sampler = fleet.samplers[0]
    for call in (
        sampler.load.remote(fleet.weights.buckets[0]),
        sampler.finish_load.remote(fleet.weights.version + 1),
    ):
        with pytest.raises(SamplerStale):
            ray.get(call)
    assert ray.get(sampler.state.remote())["version"] == fleet.weights.version


def test_a_raising_task_fails_its_episode_and_not_the_run(fleet: Fleet) -> None:
    failures: list[Failure] = []
    fleet.failures = failures.append
    with fresh_ledger(fleet) as ledger:
        work = job(fleet, list(range(12)), task="tests.faulty:Faulty")
        played = play(fleet, work)
        assert [t.seed for t in played] == [s for s in range(12) if s % 3]
        assert ledger.failed == 4 and sorted(f.seed for f in failures) == [0, 3, 6, 9]
        assert all("ZeroDivisionError: the task broke" in f.error for f in failures)
    fleet.failures = None


def test_too_many_failures_stop_the_run(fleet: Fleet) -> None:
    exp = fleet.experiment
    fleet.experiment = replace(exp, failures=0.1)
    with pytest.raises(RunError, match=r"more than the allowed share of 0\.1"):
        play(fleet, job(fleet, [0, 3, 6, 9], task="tests.faulty:Faulty"))
    fleet.experiment = exp


@pytest.mark.parametrize("victim", ["sampler", "simulator"])
def test_a_killed_actor_loses_no_episode(fleet: Fleet, victim: str) -> None:
    if victim == "sampler":
        pid = ray.get(fleet.samplers[0].state.remote())["pid"]
    else:
        pid = ray.get(fleet.simulators[0].state.remote())["pid"]
    seeds = list(range(48))
    with fresh_ledger(fleet) as ledger:
        work = job(fleet, seeds, options={"max_steps": 30}, at_once=16)
        arrived: list[Trajectory] = []
        for finished in episodes(fleet, work):
            arrived += from_table(finished.table)
            ledger.trained += finished.table.num_rows
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                pid = None
        assert sorted(t.seed for t in arrived) == seeds  # each once, none missing
        # Each lost episode is counted once, however often it was offered while the actor started.
        assert ledger.resubmitted == 0 if victim == "sampler" else 0 < ledger.resubmitted <= 48
    state = ray.get(fleet.samplers[0].state.remote())
    assert state["version"] == fleet.weights.version
    assert gate(fleet, list(fleet.samplers))[1] == 0


def test_a_group_begins_alike_and_is_sampled_apart(fleet: Fleet) -> None:
    """Each episode of a group arrives once, also if a simulator dies, and can be sampled again."""
    wanted = [EpisodeId(seed, member) for seed in range(8) for member in range(4)]
    work = job(fleet, [], episodes=wanted, options={"max_steps": 20}, at_once=8)

    def played(kill: bool) -> dict[EpisodeId, Trajectory]:
        pid = ray.get(fleet.simulators[0].state.remote())["pid"] if kill else None
        found: dict[EpisodeId, Trajectory] = {}
        with fresh_ledger(fleet) as ledger:
            for finished in episodes(fleet, work):
                rows = from_table(finished.table)
                assert not set(finished.episodes) & set(found)
                found.update(zip(finished.episodes, rows, strict=True))
                ledger.trained += len(rows)
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    pid = None
            assert (ledger.resubmitted > 0) is kill
        return found

    first, again = played(kill=True), played(kill=False)
    assert sorted(first) == sorted(again) == wanted
    for seed in range(8):
        group = [first[EpisodeId(seed, member)] for member in range(4)]
        assert {t.seed for t in group} == {seed}
        assert len({t.turns[0].observation for t in group}) == 1
        assert len({tuple(turn.action for turn in t.turns) for t in group}) == 4
    for name in wanted:
        texts = [[turn.action for turn in run[name].turns] for run in (first, again)]
        assert texts[0] == texts[1]


def test_frozen_actors_are_replaced_and_lose_no_episode(fleet: Fleet) -> None:
    """A process that is stopped keeps its connections open and answers nothing. The one that takes
    its place starts for longer than the silence that is allowed, and is left to."""
    exp = fleet.experiment
    fleet.experiment = replace(exp, placement=replace(exp.placement, unresponsive=3.0))
    frozen = [ray.get(actor.state.remote())["pid"] for actor in both(fleet)]
    seeds = list(range(48))
    with fresh_ledger(fleet) as ledger, ExitStack() as stack:
        work = job(fleet, seeds, options={"max_steps": 30}, at_once=16)
        arrived: list[Trajectory] = []
        for finished in episodes(fleet, work):
            if not arrived:
                for pid in frozen:
                    stack.enter_context(stopped(pid))
            arrived += from_table(finished.table)
            ledger.trained += finished.table.num_rows
        assert sorted(t.seed for t in arrived) == seeds
    fleet.experiment = exp
    for actor, pid in zip(both(fleet), frozen, strict=True):
        assert ray.get(actor.state.remote(), timeout=60)["pid"] != pid
        assert not psutil.pid_exists(pid)
    assert ray.get(fleet.samplers[0].state.remote())["version"] == fleet.weights.version
    assert gate(fleet, list(fleet.samplers))[1] == 0


def test_a_frozen_actor_is_noticed_in_rounds_shorter_than_a_poll(fleet: Fleet) -> None:
    exp, simulator = fleet.experiment, fleet.simulators[1]
    fleet.experiment = replace(exp, placement=replace(exp.placement, unresponsive=3.0))
    pid = ray.get(simulator.state.remote())["pid"]
    stream = EpisodeStream(fleet)

    def rounds(until: Callable[[], bool]) -> None:
        for _ in range(200):
            stream.watch()
            time.sleep(0.3)
            stream.monitor.poll()
            if until():
                return
        pytest.fail("not noticed in a minute")

    with stopped(pid):
        rounds(until=lambda: simulator in fleet.starting)
    rounds(until=lambda: simulator not in fleet.starting)
    fleet.experiment = exp
    assert ray.get(simulator.state.remote())["pid"] != pid


def test_an_answer_from_before_a_push_is_no_restart(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = ActorMonitor(fleet, every=0.0)
    monitor.poll()
    time.sleep(1.0)  # the answers arrive, with the version of before
    push(fleet, fleet.weights.version + 1)
    monitor.poll()
    assert "was restarted" not in caplog.text
    assert not fleet.starting


def both(fleet: Fleet) -> list[Any]:
    return [fleet.samplers[0], fleet.simulators[0]]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # replaced
            os.kill(pid, signal.SIGCONT)


def test_a_simulator_does_not_wait_for_ever(fleet: Fleet, checkpoint: Path) -> None:
    """Without anybody who replaces the sampler, its silence is an error with a sentence."""
    impatient = SimulatorConfig(reply_timeout=2.0)
    simulator = SimulatorActor.remote(
        fleet.sampler_names,
        str(checkpoint),
        fleet.experiment.format,
        fleet.experiment.max_context,
        impatient,
    )
    ray.get(simulator.state.remote())
    alone = replace(fleet, simulators=[simulator], ledger=Ledger())
    with (
        stopped(ray.get(fleet.samplers[0].state.remote())["pid"]),
        pytest.raises(RunError, match=r"^no sampler answered within 2 s each"),
    ):
        list(episodes(alone, job(fleet, [1])))
    ray.kill(simulator)
    with fresh_ledger(fleet):
        assert len(play(fleet, job(fleet, [1]))) == 1


def test_a_frozen_rank_is_named(fleet: Fleet) -> None:
    learners = fleet.learners
    exp = learners.exp
    learners.exp = replace(exp, learner=replace(exp.learner, timeout=2.0))
    with (
        stopped(ray.get(learners.ranks[0].ready.remote())["pid"]),
        pytest.raises(RunError, match=r"rank\(s\) \[0\] did not finish 'weights' within 2 s"),
    ):
        push(fleet, fleet.weights.version + 1)
    learners.exp = exp
    assert push(fleet, fleet.weights.version + 1).max_abs < 1e-3


@ray.remote(max_restarts=-1)
class Answering:
    def pid(self) -> int:
        return os.getpid()

    def fail(self, error: Exception) -> None:
        raise error

    def end(self) -> None:
        os._exit(1)


def test_what_an_actor_raises_is_one_sentence(local_ray: None) -> None:
    actor = Answering.remote()
    cases: list[tuple[Exception, type[Exception], str]] = [
        (UsageError("beta is -1"), UsageError, r"^beta is -1$"),
        (RunError("no sampler answers"), RunError, r"^no sampler answers$"),
        (KeyError("wte"), RunError, r"^rank 0 raised KeyError: 'wte'$"),
        (OSError(errno.ENOSPC, "no room", "x.pt"), RunError, r"^the disk is full.* x\.pt could"),
    ]
    for error, kind, sentence in cases:
        with pytest.raises(kind, match=sentence) as caught:
            fetch(actor.fail.remote(error), 60, "rank 0")
        assert "in fail" in str(caught.value.__cause__)  # the actor's trace is not lost
    with pytest.raises(ActorLost, match=r"^the process of rank 0 ended: .* may show the reason$"):
        fetch(actor.end.remote(), 60, "rank 0")
    ray.kill(actor)


def test_a_push_goes_on_without_a_frozen_sampler(fleet: Fleet) -> None:
    actors = [Answering.remote() for _ in range(2)]
    pids = [ray.get(actor.pid.remote()) for actor in actors]
    exp = fleet.experiment
    two = replace(
        fleet, samplers=actors, experiment=replace(exp, push=replace(exp.push, deadline=2.0))
    )
    with stopped(pids[0]):
        calls = [(actor, actor.pid.remote()) for actor in actors]
        assert await_all(two, "begin", calls) == {actors[1]: pids[1]}
        psutil.wait_procs([psutil.Process(pids[0])], timeout=30)
    for actor in actors:
        ray.kill(actor)


def test_a_run_that_cannot_be_placed_starts_no_actor(local_ray: None, checkpoint: Path) -> None:
    from cluster.presets import preset
    from cluster.startup.launch import launch

    exp = preset("maze-fo-ppo")
    exp = replace(exp, sampler=replace(exp.sampler, count=99))
    before = ray.available_resources()["CPU"]
    with (
        pytest.raises(
            UsageError, match=r"^sampler 7 cannot be placed: .* 99.75 CPUs in total where Ray has 8"
        ),
        launch(exp, checkpoint),
    ):
        pass
    assert ray.available_resources()["CPU"] >= before


def test_a_context_too_short_for_one_turn_is_refused(local_ray: None, checkpoint: Path) -> None:
    from cluster.presets import preset
    from cluster.startup.launch import launch

    exp = preset("maze-fo-ppo")
    exp = replace(exp, model=replace(exp.model, context=32))
    with pytest.raises(UsageError, match="too short for one turn"), launch(exp, checkpoint):
        pass


def test_a_push_past_its_deadline_names_phase_and_sampler(fleet: Fleet) -> None:
    exp = fleet.experiment
    fleet.experiment = replace(exp, push=replace(exp.push, deadline=0.0))
    with pytest.raises(RunError, match=r"phase begin: sampler\(s\) \[0\] did not answer"):
        push(fleet, 3)
    fleet.experiment = exp
    load_again(fleet, fleet.samplers[0])  # closes the update that was given up, and begins anew
    assert gate(fleet, list(fleet.samplers))[1] == 0


def test_a_cache_that_no_machine_can_hold_is_refused(local_ray: None) -> None:
    exp = preset("maze-fo-bc")
    exp = replace(exp, sampler=replace(exp.sampler, kv_gigabytes=999.0))
    with pytest.raises(UsageError, match=r"sampler.kv_gigabytes 999 exceeds"):
        choose_device(exp, cluster_nodes())
