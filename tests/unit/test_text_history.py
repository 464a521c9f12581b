"""The published interface: the same episodes, texts and returns as ours."""

import random
from typing import Any

import pytest

import lmrl
from lmrl.adapters.text_history import HistoryEnv, Text, TextHistory
from lmrl.episode import Episode, play
from lmrl.errors import UsageError


def played(env: HistoryEnv, player: str, seed: int) -> tuple[float, list[TextHistory]]:
    """Return the return of a scripted player, and every history that it saw."""
    history = env.reset(seed)
    act = env.env.player(player, random.Random(f"{player}:{seed}"))
    total, done, seen = 0.0, False, [history]
    while not done:
        history += (Text(act(history[-1].text), is_action=True),)
        history, reward, done = env.step(history)
        total += reward
        seen.append(history)
    return total, seen


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("task", sorted(lmrl.TASKS))
def test_every_task_returns_the_same(task: str, faithful: bool) -> None:
    options: dict[str, Any] = {"faithful": faithful}
    if task == "chess":
        options["max_moves"] = 15
    for seed in range(3):
        env = HistoryEnv(task, **options)
        total, seen = played(env, "mixture", seed)
        stored = play(lmrl.make(task, **options), "mixture", seed, name=task, options=options)
        assert total == stored.total_reward
        assert len(seen) == len(stored.turns) + 1
        assert env.last is not None and env.last.truncated == (stored.ending == "truncated")
        for history, turn in zip(seen, stored.turns, strict=False):
            assert len(history) == turn.span and history[-1] == Text(turn.observation, False)
        env.close()


def test_a_window_cuts_the_history_as_an_episode_does() -> None:
    for faithful in (False, True):
        env = HistoryEnv("maze-po", faithful=faithful, last_k=6)
        episode = Episode(lmrl.make("maze-po", faithful=faithful, last_k=6), seed=3)
        history = env.reset(3)
        for action in ["move up\n", "move left\n", "jump\n", *["move down\n"] * 4]:
            history, _, _ = env.step((*history, Text(action, is_action=True)))
            episode.act(action)
            assert len(history) == episode.span
            assert history[-1].text == episode.observation
        assert history[0].is_action == (faithful and len(history) == 6)


def test_a_copy_goes_its_own_way() -> None:
    env = HistoryEnv("wordle")
    history = env.reset(seed=1, options={"answer": "abort"})
    twin = env.copy()
    solved, reward, done = env.step((*history, Text("a b o r t\n", is_action=True)))
    assert (reward, done, len(solved)) == (0.0, True, 3)
    _, reward, done = twin.step((*history, Text("h o b b y\n", is_action=True)))
    assert (reward, done) == (-1.0, False)
    with pytest.raises(RuntimeError, match="call reset first"):
        env.step((*history, Text("a b o r t\n", is_action=True)))


def test_what_is_no_action_is_refused() -> None:
    env = HistoryEnv(lmrl.make("maze-fo"))
    history = env.reset(seed=0)
    for bad in ((), history):
        with pytest.raises(UsageError, match="does not end with an action"):
            env.step(bad)
    with pytest.raises(UsageError, match="belong to a task's name"):
        HistoryEnv(lmrl.make("maze-fo"), last_k=3)
    with pytest.raises(UsageError, match="did you mean"):
        HistoryEnv("mze-fo")
