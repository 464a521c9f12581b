"""Tasks behind an OpenEnv server, and environments behind one as tasks."""

import copy
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from elsewhere import ROOT, environment, python_with, ran

from lmrl.cli import main
from lmrl.episode import Episode, play
from lmrl.errors import RunError, UsageError
from lmrl.seeds import player_rng
from lmrl.tasks import make

# Histories that extend, stand alone, and are cut by a limit.
TASKS: dict[str, dict[str, Any]] = {
    "maze-po": {"max_steps": 6},
    "text-nav-fo": {},
    "wordle": {"words": 100},
}


@contextmanager
def serving(task: str, *words: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Serve a task within the block; yield the address and the process."""
    command = [str(python_with("openenv")), "-m", "lmrl", "openenv", task, *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            first = process.stdout.readline()
            assert first.startswith("http://127.0.0.1:"), process.stderr.read()
            yield first.split()[0], process
        finally:
            process.kill()


@pytest.fixture(scope="module", params=TASKS)
def served(request: Any) -> Iterator[tuple[str, str]]:
    options = TASKS[request.param]
    words = [word for k, v in options.items() for word in (f"--options.{k}", str(v))]
    with serving(request.param, *words) as (address, _):
        yield request.param, address


@pytest.mark.elsewhere
def test_an_episode_through_openenvs_client_is_the_one_of_the_task(served: Any) -> None:
    task, address = served
    env = make(task, **TASKS[task])
    episodes = [play(env, "random", seed) for seed in range(4)]
    given = {
        "address": address,
        "episodes": [
            # A task's stop text may be left out.
            {"seed": e.seed, "actions": [turn.action.removesuffix("\n") for turn in e.turns]}
            for e in episodes
        ],
    }
    client = ROOT / "tests" / "openenv_client.py"
    for episode, found in zip(
        episodes, ran(python_with("openenv"), [str(client)], given), strict=True
    ):
        text, _ = env.reset(seed=episode.seed)
        observation, reward, done = found["results"][0]
        assert (observation["text"], reward, done) == (text, None, False)
        for turn, (observation, reward, done) in zip(
            episode.turns, found["results"][1:], strict=True
        ):
            step = env.step(turn.action)
            assert observation.pop("metadata") == {}
            assert (observation.pop("text"), reward) == (step.text, step.reward)
            assert done == (step.terminated or step.truncated)
            assert observation == {
                "terminated": step.terminated,
                "truncated": step.truncated,
                "replaces_history": step.replaces_history,
                "final_observation": step.final_observation,
                "info": step.info,
            }
        assert found["state"]["seed"] == episode.seed
        assert found["state"]["step_count"] == len(episode.turns)
        assert found["state"]["instructions"] == env.instructions


@pytest.mark.elsewhere
def test_an_environment_behind_a_server_is_a_task(served: Any) -> None:
    task, address = served
    native, env = make(task, **TASKS[task]), make(f"openenv:{address}")
    assert (env.instructions, env.max_turns) == (native.instructions, native.max_turns)
    assert env.score_range[::2] == native.score_range[::2]
    for seed in range(3):
        theirs, ours = (Episode(e, seed, name=task) for e in (native, env))
        act = native.player("random", player_rng("random", seed))
        while not theirs.done:
            action = act(theirs.observation)
            theirs.act(action)
            ours.act(action)
        assert ours.done
        record, expected = ours.trajectory(), theirs.trajectory()
        assert (record.ending, record.final, record.info) == (
            expected.ending,
            expected.final,
            expected.info,
        )
        for turn, same in zip(record.turns, expected.turns, strict=True):
            # Not the span: a window of the policy's history is not a part of OpenEnv.
            assert (turn.observation, turn.action, turn.reward) == (
                same.observation,
                same.action,
                same.reward,
            )


@pytest.mark.elsewhere
def test_a_state_is_returned_to_by_playing_again(served: Any) -> None:
    env = make(f"openenv:{served[1]}")
    native = make(served[0], **TASKS[served[0]])
    env.reset(seed=3)
    actions = [turn.action for turn in play(native, "random", 3).turns]
    half = len(actions) // 2
    for action in actions[:half]:
        env.step(action)
    kept, twin = env.snapshot(), copy.deepcopy(env)
    rest = [env.step(action) for action in actions[half:]]
    assert [twin.step(action) for action in actions[half:]] == rest
    env.restore(kept)
    assert [env.step(action) for action in actions[half:]] == rest
    kept["heard"] = "something else\n"
    with pytest.raises(RunError, match="does not repeat an episode"):
        env.restore(kept)


@pytest.mark.elsewhere
def test_a_field_that_is_no_text_is_named(served: Any) -> None:
    env = make(f"openenv:{served[1]}", observation="colour")
    with pytest.raises(RunError, match=r"field 'colour' .* --options\.observation"):
        env.reset(seed=0)
    env = make(f"openenv:{served[1]}", action="colour")
    env.reset(seed=0)
    with pytest.raises(RunError, match="Invalid message"):
        env.step("up\n")


def test_an_error_of_the_server_is_one_sentence() -> None:
    with serving("maze-fo", "--sessions", "1") as (address, process):
        for seed in range(4):  # each leaves its place to the next
            play(make(f"openenv:{address}"), "random", seed)
        env = make(f"openenv:{address}", max_turns=3)
        with pytest.raises(RuntimeError, match="call reset first"):
            env.step("move up\n")
        env.reset(seed=0)
        with pytest.raises(UsageError, match="capacity"):
            make(f"openenv:{address}")
        with pytest.raises(RunError, match="not a free cell"):
            env.reset(seed=0, options={"init_position": [99, 99]})
        env.reset(seed=0)
        assert [env.step("stay\n").truncated for _ in range(3)] == [False, False, True]
        process.kill()
        with pytest.raises(RunError, match="is lost"):
            env.reset(seed=1)
    with pytest.raises(UsageError, match="no OpenEnv server answers"):
        make(f"openenv:{address}")


@pytest.mark.elsewhere
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_server_with_sessions_open(sent: int, code: int) -> None:
    with serving("maze-fo") as (address, process):
        env = make(f"openenv:{address}")
        env.reset(seed=0)
        process.send_signal(sent)
        assert process.wait(20) == code
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("address", ["file:///etc", "localhost:8000", "8000"])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="not an address of an OpenEnv server"):
        make(f"openenv:{address}")


def test_the_command_names_the_package_it_needs(capsys: Any) -> None:
    pytest.importorskip("vllm")  # the environment without OpenEnv
    assert main(["openenv", "maze-fo"]) == 2
    assert "pip install 'lmrl[openenv]'" in capsys.readouterr().err
