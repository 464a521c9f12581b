"""Models behind OpenAI's API: what is cached, asked again, counted and given up."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("ray")

from openai_server import Server

from actors.chat import ChatConfig, ChatOracle, Patient, ReplyTimeout, chat_model
from cluster.oracle import scripted, serving
from lmrl.errors import UsageError
from lmrl.tasks import make


def client(server: Server, **changes: Any) -> Patient:
    config = ChatConfig(
        **{"model": "parrot", "endpoint": server.url, "timeout": 0.5, "retries": 1, **changes}
    )
    return chat_model(config, [], "")


def test_equal_prompts_are_asked_once(server: Server) -> None:
    model = client(server)
    oracle = ChatOracle(model)
    assert [oracle("say yes"), oracle("say yes"), oracle("say no")] == ["yes", "yes", "no"]
    assert len(server.requests) == 2
    assert server.requests[0]["messages"] == [{"role": "user", "content": "say yes"}]
    usage = model.take_usage()
    assert (usage.replies, usage.cached, usage.timeouts) == (3, 1, 0)
    assert model.take_usage().replies == 0
    assert (oracle.name, oracle.version) == ("parrot", server.url)


def test_the_cache_is_bounded_and_sampled_replies_are_not_kept(server: Server) -> None:
    model = client(server, cache=1)
    for word in ("a", "b", "a"):
        model.reply([{"role": "user", "content": word}])
    assert len(server.requests) == 3
    warm = client(server, temperature=0.7)
    for _ in range(2):
        warm.reply([{"role": "user", "content": "a"}], seed=4)
    assert len(server.requests) == 5 and server.requests[-1]["seed"] == 4


@pytest.mark.parametrize("fate", ["late", "500"])
def test_a_reply_that_does_not_come_is_asked_for_again(server: Server, fate: str) -> None:
    model = client(server)
    server.plan = [fate]
    assert ChatOracle(model)("say yes") == "yes"
    assert model.take_usage().retries == 1
    server.plan = [fate, fate]
    with pytest.raises(ReplyTimeout, match=r"127\.0\.0\.1"):
        ChatOracle(model)("say no")
    assert model.take_usage().timeouts == 1


def test_replies_are_waited_for_side_by_side(server: Server) -> None:
    server.delay = 0.2
    model = client(server, timeout=5.0)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: ChatOracle(model)(f"say {i}"), range(8)))
    assert server.most_open >= 4


@pytest.mark.parametrize("task", ["twenty-questions", "guess-my-city", "car-dealer"])
def test_a_dialogue_task_is_played_with_it_and_says_with_whom(server: Server, task: str) -> None:
    server.reply = "Yes."
    config = ChatConfig(model="parrot", endpoint=server.url, timeout=10.0)
    with serving(config) as model:
        played = list(scripted(model, task, {}, "random", range(3)))
    assert [t.seed for t in played] == [0, 1, 2]
    for trajectory in played:
        assert trajectory.info["oracle"] == "parrot"
        assert trajectory.info["oracle_version"] == server.url
        assert trajectory.options == {}  # a callable is no option that a file could hold
        malformed = trajectory.info["oracle_malformed"]
        assert malformed == (1 if task == "car-dealer" else 0)  # no verdict at the limit
    assert server.requests


def test_replies_that_nobody_can_read_are_counted(server: Server) -> None:
    server.reply = "Bananas, certainly."
    config = ChatConfig(model="parrot", endpoint=server.url, timeout=10.0)
    with serving(config) as model:
        (trajectory,) = scripted(model, "twenty-questions", {}, "random", [0])
    assert trajectory.info["oracle_malformed"] == len(trajectory.turns)
    assert trajectory.turns[1].observation == "I don't know.\n"


def test_a_model_for_a_task_without_an_oracle_is_refused() -> None:
    from dataclasses import replace

    from cluster.presets import preset

    assert make("maze-fo").oracle_option == ""
    exp = replace(preset("maze-fo-bc"), oracle=ChatConfig(model="smollm2"))
    with pytest.raises(UsageError, match="nobody answers in maze-fo"):
        exp.check()
    exp = replace(exp, task="twenty-questions", oracle=ChatConfig(model="no/such/folder"))
    with pytest.raises(UsageError, match="no/such/folder is no model"):
        exp.check()
    exp = replace(exp, oracle=ChatConfig(endpoint="http://localhost:1/v1"))
    with pytest.raises(UsageError, match=r"needs oracle\.model"):
        exp.check()
