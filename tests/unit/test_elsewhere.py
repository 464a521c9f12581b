"""Environments of Gymnasium as tasks, and several tasks as one."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import gymnasium
import pytest

from examples.own_gymnasium import GuessLetter
from lmrl.adapters.gymnasium import AnyText
from lmrl.data.replay import replay_all
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.schema import from_table, to_table
from lmrl.scoring.score import score, score_of
from lmrl.tasks import from_elsewhere, instructions_of, make
from lmrl.tasks.contract import Subject, global_randomness, same_seed_same_episode, snapshots
from lmrl.tasks.options import read_options
from lmrl.tasks.several import weights
from lmrl.trajectory import PLAYED

GUESS = "gym:examples.own_gymnasium:GuessLetter-v0"


class Corridor(gymnasium.Env[str, int]):
    """Walk to the right."""

    metadata: dict[str, Any] = {"actions": ["go left", "go right"]}  # noqa: RUF012

    def __init__(self) -> None:
        self.observation_space = AnyText()
        self.action_space: Any = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = int(self.np_random.integers(3))
        return f"You stand at {self.at}.", {}

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.at += 1 if action else -1
        return f"You stand at {self.at}.", -1.0, self.at == 4, False, {}


register: Any = gymnasium.register  # its types want another signature of a class
register("Corridor-v0", Corridor, max_episode_steps=30)
register("Endless-v0", GuessLetter)


def test_an_episode_is_the_one_that_gymnasium_plays() -> None:
    env = make(GUESS)
    assert (env.max_turns, env.instructions) == (12, "Guess a letter of a to f.")
    for seed in range(8):
        episode = play(env, "random", seed, GUESS)
        theirs: Any = gymnasium.make("GuessLetter-v0")
        seen = [theirs.reset(seed=seed)[0]]
        for turn in episode.turns:
            text, reward, ended, cut, _ = theirs.step(turn.action.removesuffix("\n"))
            seen.append(text)
            assert turn.reward == reward
        assert [turn.observation for turn in episode.turns] == [f"{text}\n" for text in seen[:-1]]
        assert episode.final == f"{seen[-1]}\n"
        assert episode.ending == ("terminated" if ended else "truncated") and (ended or cut)
        assert ended == episode.info.get("success", False)


def test_numbered_actions_are_words() -> None:
    env = make("gym:Corridor-v0", worst=-30.0, best=-1.0, illegal=-2.0)
    assert env.actions == ("go left\n", "go right\n")
    text, _ = env.reset(seed=1)
    start = int(text.split()[-1].rstrip(".\n"))
    assert env.step("sing\n")[:4] == (text, -2.0, False, False)
    assert env.step("go right\n")[:3] == (f"You stand at {start + 1}.\n", -1.0, start == 3)
    assert {turn.action for turn in play(env, "random", 0).turns} == set(env.actions)


@pytest.mark.parametrize("check", [same_seed_same_episode, snapshots, global_randomness])
@pytest.mark.parametrize("task", [GUESS, "gym:Corridor-v0", "maze-fo:1 wordle:2"])
def test_they_keep_the_contract_of_tasks(check: Any, task: str) -> None:
    class Same(Subject):
        def played(self, player: str) -> Any:
            return [play(self.env(), player, seed) for seed in range(self.episodes)]

    assert check(Same(task, {}, 4))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gym:Nothing-v0", {}, "cannot make 'Nothing-v0'"),
        ("gym:CartPole-v1", {}, "and not texts"),
        ("gym:Endless-v0", {}, "--options.max-turns"),
        (GUESS, {"best": -1.0}, "not above options.worst"),
        (GUESS, {"colour": 1}, "colour"),
        ("maze-fo:0.5 wordle", {}, "'wordle' of the tasks"),
        ("maze-fo:0.5 wordle:-1", {}, "a weight above 0"),
        ("maze-fo:1 maze-fo:1", {}, "have maze-fo twice"),
        ("maze-fo:1 nothing:1", {}, "task 'nothing' is unknown"),
        ("maze-fo:1 wordle:1", {"each": {"chess": {}}}, "options.each has 'chess'"),
    ],
)
def test_what_cannot_be_played_is_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        make(name, **options)


MIXED = "maze-fo:1 twenty-questions:3"


def test_the_seed_chooses_among_several_tasks() -> None:
    assert weights(MIXED) == {"maze-fo": 0.25, "twenty-questions": 0.75}
    options = {"each": {"maze-fo": {"max_steps": 7}}}
    env = make(MIXED, **options)
    episodes = [play(env, "random", seed, MIXED, options) for seed in range(200)]
    played = Counter(episode.info[PLAYED] for episode in episodes)
    assert 25 < played["maze-fo"] < 75 and sum(played.values()) == 200
    for episode in from_table(to_table(episodes[:12])):
        task = episode.info[PLAYED]
        own = options["each"].get(task, {})
        alone = play(make(task, **own), "random", episode.seed)
        assert [turn.action for turn in episode.turns] == [turn.action for turn in alone.turns]
        assert [turn.span for turn in episode.turns] == [turn.span for turn in alone.turns]
        assert [turn.reward for turn in episode.turns] == [turn.reward for turn in alone.turns]
        rules = instructions_of(MIXED, options, episode.info)
        assert rules == make(task, **own).instructions
    mine = [episode for episode in episodes if episode.info[PLAYED] == "maze-fo"]
    found = score_of(episodes, env)
    assert found.tasks["maze-fo"] == score(mine, make("maze-fo", max_steps=7).score_range)
    assert set(found.to_json()["tasks"]) == {"maze-fo", "twenty-questions"}
    assert "tasks" not in score_of(mine, make("maze-fo")).to_json()


def test_the_global_generator_is_left_alone() -> None:
    before = random.getstate()
    make(MIXED).reset()
    make(GUESS).reset()
    assert random.getstate() == before


def test_a_game_of_textarena_is_the_one_that_it_plays() -> None:
    textarena: Any = pytest.importorskip("textarena")
    task = "textarena:FrozenLake-v0"
    actions = [f"[{word}]\n" for word in ("right", "down", "right", "sing", "down", "left")] * 9

    def played(seed: int) -> list[Any]:
        env = make(task)
        seen: list[Any] = [env.reset(seed=seed)[0]]
        for action in actions:
            seen.append(env.step(action))
            if seen[-1].terminated:
                break
        return seen

    before = random.getstate()
    for seed in range(3):
        first, *steps = played(seed)
        assert [first, *steps] == played(seed)
        random.seed(seed)
        theirs = textarena.make("FrozenLake-v0")
        theirs.reset(num_players=1, seed=seed)
        for step, action in zip(steps, actions, strict=False):
            _, whole = theirs.get_observation()
            done, _ = theirs.step(action=action.strip())
            assert all(line in whole for line in first.strip().splitlines() if line.strip())
            assert done == step.terminated
        rewards, _ = theirs.close()
        assert steps[-1].terminated and steps[-1].reward == rewards[0]
    random.setstate(before)
    env = make(task)
    env.reset(seed=1)
    env.step(actions[0])
    kept = env.snapshot()
    rest = [env.step(action) for action in actions[1:4]]
    env.restore(kept)
    assert [env.step(action) for action in actions[1:4]] == rest
    assert random.getstate() == before
    with pytest.raises(UsageError, match="for one player"):
        make("textarena:ConnectFour-v0")


class Numbered(Corridor):
    """Actions 5 and 6."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = gymnasium.spaces.Discrete(2, start=5)

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        assert action in (5, 6)
        return super().step(action - 5)


register("Numbered-v0", Numbered, max_episode_steps=30)


def test_actions_are_numbered_as_the_space_numbers_them() -> None:
    for seed in range(3):
        ours, same = (play(make(f"gym:{n}-v0"), "random", seed) for n in ("Corridor", "Numbered"))
        assert [turn.observation for turn in ours.turns] == [t.observation for t in same.turns]


@pytest.mark.parametrize(
    ("task", "option", "words"),
    [
        (GUESS, "id", "option of task"),
        ("maze-fo:1 wordle:1", "tasks", "option of task"),
        ("maze-fo:inf wordle:1", "each", "a weight above 0"),
    ],
)
def test_options_do_not_replace_the_task(task: str, option: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(task, **{option: {"chess": 1}})


@pytest.mark.parametrize(("name", "text"), [("max_turns", "0"), ("worst", "-inf"), ("best", "nan")])
def test_options_have_ranges(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"options.{name} is"):
        read_options(GUESS, {}, [(name, text)])


def test_what_is_no_task_is_not_called() -> None:
    for name in ("os:system", "json:JSONDecoder", "lmrl.tasks:make"):
        with pytest.raises(UsageError, match=r"is not a lmrl\.env\.TextEnv"):
            make(name)
    episode = replace(play(make("maze-fo"), "optimal", 0, "maze-fo"), task="os:system")
    with pytest.raises(UsageError, match="--load-tasks"):
        replay_all([episode])
    mine = play(make(GUESS), "random", 0, GUESS)
    assert replay_all([mine], load=True).differences == ()
    assert [from_elsewhere(n) for n in ("maze-fo", "maze-fo:1 wordle:1", "maze-fo:1 a:B:2")] == [
        False,
        False,
        True,
    ]


def test_the_score_of_several_tasks_lies_between_theirs() -> None:
    env = make(MIXED)
    found = score_of([play(env, "random", seed) for seed in range(40)], env)
    parts = [part.normalised for part in found.tasks.values()]
    assert min(parts) <= found.normalised <= max(parts)
