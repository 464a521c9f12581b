"""Models behind OpenAI's API: what is cached, asked again, counted and given up."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray")

from openai_server import BROKEN, LATE, PAGE, Fate, Server, completion, refusal

from actors.chat.config import ChatConfig, ReplyTimeout, RequestRefused
from actors.chat.model import ChatOracle, RetryingChatModel, chat_model
from actors.prompted import Prompted
from cluster.oracle import scripted, serving_oracle
from lmrl.errors import UsageError
from lmrl.schema import to_table
from lmrl.tasks import make


def client(server: Server, **changes: Any) -> RetryingChatModel:
    config = ChatConfig(
        **{"model": "parrot", "endpoint": server.url, "timeout": 10.0, "retries": 1, **changes}
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


@pytest.mark.parametrize("fate", [LATE, BROKEN], ids=["late", "500"])
def test_a_reply_that_does_not_come_is_asked_for_again(server: Server, fate: Fate) -> None:
    model = client(server, timeout=0.5)
    server.plan = [fate]
    assert ChatOracle(model)("say yes") == "yes"
    assert model.take_usage().retries == 1
    server.plan = [fate, fate]
    with pytest.raises(ReplyTimeout, match=r"127\.0\.0\.1"):
        ChatOracle(model)("say no")
    assert model.take_usage().timeouts == 1


def test_a_rate_limit_is_waited_for_as_long_as_the_server_says(server: Server) -> None:
    model = client(server, retries=3)
    full = refusal("too many requests", code="rate_limit_exceeded")
    server.plan = [
        Fate(429, full, {"Retry-After": "1"}),
        Fate(503, PAGE),
        Fate(429, full),
    ]
    assert ChatOracle(model)("say yes") == "yes"
    usage = model.take_usage()
    assert (len(server.requests), usage.retries, usage.timeouts) == (4, 3, 0)
    named, second, third = np.diff(server.times)
    assert named >= 1.0 and second >= 0.7 and third >= 1.4  # growing, up to a quarter shorter
    server.plan = [Fate(429, full, {"Retry-After": "0.01"})] * 4
    with pytest.raises(ReplyTimeout, match="asked 4 times: status 429, 'too many requests'"):
        ChatOracle(model)("say no")
    assert model.take_usage().retries == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_is_refused_is_not_asked_again(server: Server, status: int) -> None:
    model = client(server, retries=3)
    server.plan = [Fate(status, refusal("no such\nmodel: 'parrot'", param="model"))] * 9
    with pytest.raises(RequestRefused) as caught:
        ChatOracle(model)("say yes")
    assert f"status {status}" in str(caught.value) and "no such model" in str(caught.value)
    assert "\n" not in str(caught.value) and len(server.requests) == 1
    assert model.take_usage().retries == 0


def test_half_a_surrogate_pair_in_a_reply_is_replaced(server: Server) -> None:
    server.reply = "c r \ud83d n e \U0001f600"
    played = Prompted(client(server), []).play(make("wordle"), 0, "wordle")
    assert played.turns[0].action == "c r \ufffd n e \U0001f600\n"
    assert to_table([played]).num_rows == 1


UNSUPPORTED = {
    "max_tokens": refusal(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        param="max_tokens",
        code="unsupported_parameter",
    ),
    "temperature": refusal(
        "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default "
        "(1) value is supported.",
        param="temperature",
        code="unsupported_value",
    ),
    "seed": refusal("body.seed: extra inputs are not permitted"),
}


def test_parameters_that_a_model_refuses_are_left_out_or_replaced(server: Server) -> None:
    server.refuses = UNSUPPORTED
    model = client(server, max_tokens=9)
    assert ChatOracle(model)("say yes") == "yes"
    assert len(server.requests) == 4
    last = server.requests[-1]
    assert last["max_completion_tokens"] == 9 and not set(UNSUPPORTED) & set(last)
    assert ChatOracle(model)("say no") == "no"  # remembered
    assert len(server.requests) == 5 and model.take_usage().retries == 0


def test_a_value_out_of_range_is_not_left_out(server: Server) -> None:
    words = "temperature must lie in [0, 1]"
    server.refuses = {"temperature": refusal(words, param="temperature", code="invalid_value")}
    with pytest.raises(RequestRefused, match="must lie in"):
        ChatOracle(client(server, temperature=1.5))("say yes")
    assert len(server.requests) == 1


BODY = {"model": "parrot"}
SAYS_NOTHING = {
    "no choices": completion(BODY) | {"choices": []},
    "null choices of no error": completion(BODY, content=None) | {"choices": [{"index": 0}]},
    "thoughts alone": completion(BODY, content=None, reasoning_content="up is free, and"),
    "a list": completion(BODY, content=[]),
    "an open thought": completion(BODY, content="<think>up is free, and"),
}


@pytest.mark.parametrize("kind", SAYS_NOTHING)
def test_a_reply_without_a_text_is_counted(server: Server, kind: str) -> None:
    server.plan = [Fate(body=SAYS_NOTHING[kind])]
    model = client(server, retries=0)
    assert ChatOracle(model)("say yes") == ""
    assert model.take_usage().empty == (kind != "an open thought")
    server.reply, server.plan = "Yes.", [Fate(body=SAYS_NOTHING[kind])]
    config = ChatConfig(model="parrot", endpoint=server.url, timeout=10.0)
    with serving_oracle(config) as model:
        (trajectory,) = scripted(model, "twenty-questions", {}, "random", [0])
    assert trajectory.info["oracle_malformed"] == 1
    server.reply, server.plan = "move up", [Fate(body=SAYS_NOTHING[kind])]
    played = Prompted(client(server, context=4096, cache=0)).play(make("maze-fo", max_steps=3), 0)
    assert sum(turn.malformed for turn in played.turns) == 1


@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        "no JSON",
        {"error": {"message": "no GPU"}},
        [],
        {},
        "",
        completion(BODY) | {"choices": None},
    ],
    ids=["page", "text", "error", "list", "object", "nothing", "null"],
)
def test_what_is_no_completion_is_one_sentence(server: Server, body: Any) -> None:
    server.plan = [Fate(body=body)]
    with pytest.raises(RequestRefused, match=r"no chat completion but .*ends in /v1") as caught:
        ChatOracle(client(server))("say yes")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert len(server.requests) == 1


def test_an_oracle_that_thinks_aloud_is_heard(server: Server) -> None:
    server.reply = "is it?\n</think>\n\nYes.<|im_end|>"
    assert ChatOracle(client(server))("Is it?") == "Yes."


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
    with serving_oracle(config) as model:
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
    with serving_oracle(config) as model:
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
    with pytest.raises(UsageError, match="no/such/folder is not a model"):
        exp.check()
    exp = replace(exp, oracle=ChatConfig(endpoint="http://localhost:1/v1"))
    with pytest.raises(UsageError, match=r"needs oracle\.model"):
        exp.check()
