"""Tasks as environments of verifiers, played by verifiers' own rollout."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from elsewhere import ROOT, python_with, ran
from openai_server import Server

from lmrl.episode import play
from lmrl.tasks import make

pytestmark = pytest.mark.elsewhere

CLIENT = str(ROOT / "tests" / "verifiers_client.py")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as opened:
        threading.Thread(target=opened.serve_forever, daemon=True).start()
        yield opened
        opened.shutdown()


def rolled_out(server: Server, task: str, options: dict[str, Any], episodes: int) -> Any:
    given = {
        "address": server.url,
        "model": "scripted",
        "task": task,
        "options": options,
        "first_seed": 5,
        "episodes": episodes,
    }
    return ran(python_with("verifiers"), [CLIENT], given)


@pytest.mark.parametrize(
    ("task", "options", "player"),
    [
        ("maze-fo", {}, "optimal"),
        ("maze-po", {"max_steps": 5}, "random"),
        ("wordle", {"words": 100}, "optimal"),
    ],
)
def test_an_episode_of_verifiers_is_the_one_of_the_task(
    server: Server, task: str, options: dict[str, Any], player: str
) -> None:
    env = make(task, **options)
    expected = [play(env, player, seed) for seed in (5, 6, 7)]
    script = iter([turn.action.removesuffix("\n") for e in expected for turn in e.turns])
    server.answer = lambda messages: next(script)
    for episode, found in zip(expected, rolled_out(server, task, options, 3), strict=True):
        assert (found["ok"], found["errors"], found["seed"]) == (True, [], episode.seed)
        assert found["rewards"] == [turn.reward for turn in episode.turns]
        assert found["return"] == sum(found["rewards"])
        assert found["metrics"]["actions"] == len(episode.turns)
        assert found["metrics"]["terminated"] == float(episode.ending == "terminated")
        assert found["metrics"]["malformed"] == 0.0
        assert found["last_text"] == episode.final
        said = [["system", env.instructions]]
        for turn in episode.turns:
            said += [["user", turn.observation], ["assistant", turn.action.removesuffix("\n")]]
        assert found["messages"] == said


def test_thoughts_and_empty_replies_are_read_as_everywhere(server: Server) -> None:
    replies = iter(["<think>move down</think>Action: move up", "<think>never ends"])
    server.answer = lambda messages: next(replies, "move left")
    (found,) = rolled_out(server, "maze-fo", {"max_steps": 3}, 1)
    assert found["metrics"]["malformed"] == 1.0
    native = make("maze-fo", max_steps=3)
    native.reset(seed=5)
    steps = [native.step(text) for text in ("move up\n", "\n", "move left\n", "move left\n")]
    assert found["rewards"] == [step.reward for step in steps]


def test_a_model_that_fails_is_an_error_and_no_reward(server: Server) -> None:
    server.refuses = {"model": {"error": {"message": "no such model"}}}
    (found,) = rolled_out(server, "maze-fo", {}, 1)
    assert not found["ok"] and found["errors"] and found["rewards"] is None
