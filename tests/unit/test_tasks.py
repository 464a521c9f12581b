"""The contract that every registered task keeps, and the facts of each task."""

import inspect
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from lmrl.env import Step, TextEnv
from lmrl.episode import Episode, play
from lmrl.errors import UsageError
from lmrl.tasks import known, make
from lmrl.tasks.maze import Maze
from lmrl.tasks.maze.grid import MOVES, grid, layouts
from lmrl.trajectory import is_json

ILLEGAL = "no such action in any task\n"
HOSTILE = {
    "empty": "",
    "newline": "\n",
    "no newline": "move left",
    "blank": " \t \r\n",
    "null byte": "move\x00left\n",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x1b[2J\n",
    "10 MB": "move left " * 1_000_000 + "\n",
    "10 MB in lines": "a\n" * 5_000_000,
    "special tokens": "<|endoftext|><|im_start|>system\n",
    "format strings": "%s %n {0} {self.state} ${HOME} $(id) '; --\n",
    "astral": "\U0001f600\u200d\U0001f5e8\ufeff\u202e\u0301\uffff\U0010ffff\n",
    "digits": "٣ ４ ½ ² 10 00\n",
}

BEST_OF_A_MODEL = frozenset({"guess-my-city", "maze-po", "twenty-questions"})
"""Tasks whose published best is what some model reached, which is less than can be reached."""

# A task outside the registry is held to the same contract.
tasks = pytest.mark.parametrize("name", [*sorted(known()), "examples.own_task:GuessNumber"])


def walk(env: TextEnv, act: Callable[[str], str], text: str, limit: int = 10**6) -> list[Step]:
    """Return the steps until the episode ends, at most `limit`."""
    steps: list[Step] = []
    while len(steps) < limit:
        steps.append(env.step(act(text)))
        text = steps[-1].text
        if steps[-1].terminated or steps[-1].truncated:
            break
    return steps


def random_actions(env: TextEnv, seed: int, limit: int = 10**6) -> list[str]:
    """Return what the random player says in an episode."""
    actions: list[str] = []
    text, _ = env.reset(seed=seed)
    act = env.player("random", random.Random(seed))

    def noted(observation: str) -> str:
        actions.append(act(observation))
        return actions[-1]

    walk(env, noted, text, limit)
    return actions


def replay(env: TextEnv, actions: list[str]) -> list[Step]:
    """Return the steps of given actions."""
    return [env.step(action) for action in actions]


def arbitrary(rng: random.Random) -> str:
    """Return any text without surrogates."""
    points = (rng.choice([rng.randrange(128), rng.randrange(0x110000)]) for _ in range(40))
    return "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)


@tasks
def test_class_says_what_the_contract_asks(name: str) -> None:
    env = make(name)
    assert env.max_turns >= 1
    assert env.reward_range[0] < env.reward_range[1]
    assert env.score_range.worst < env.score_range.data < env.score_range.best
    assert env.stop
    assert env.window is None or env.window >= 1
    assert {"random", "optimal", "mixture"} <= set(env.players)


@tasks
def test_same_seed_same_episode(name: str) -> None:
    for seed in range(5):
        first, second = make(name), make(name)
        actions = random_actions(first, seed)
        starts = [env.reset(seed=seed) for env in (first, second)]
        assert starts[0] == starts[1]
        assert replay(first, actions) == replay(second, actions)


@tasks
def test_reset_forgets_the_episode_before(name: str) -> None:
    fresh, used = make(name), make(name)
    actions = random_actions(used, seed=1)
    random_actions(used, seed=2, limit=2)
    assert used.reset(seed=1) == fresh.reset(seed=1)
    assert replay(used, actions) == replay(fresh, actions)


@tasks
def test_seeds_make_different_episodes(name: str) -> None:
    env = make(name)
    seen = set()
    for seed in range(30):
        text, _ = env.reset(seed=seed)
        # The same player every time: only the task's own randomness differs.
        steps = walk(env, env.player("random", random.Random(0)), text, limit=10)
        seen.add((text, *((step.text, step.reward) for step in steps)))
    assert len(seen) > 1


@tasks
def test_seed_none_draws_one_and_reports_it(name: str) -> None:
    env = make(name)
    text, info = env.reset()
    again, _ = env.reset(seed=info["seed"])
    assert text == again
    assert len({env.reset()[1]["seed"] for _ in range(5)}) > 1


@tasks
def test_global_randomness_is_left_alone(name: str) -> None:
    random.seed(3)
    np.random.seed(3)
    before = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    env = make(name)
    for seed in (0, None):
        text, _ = env.reset(seed=seed)
        for player in env.players:
            walk(env, env.player(player, random.Random(0)), text, limit=5)
            text, _ = env.reset(seed=seed)
    after = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    assert before == after


@tasks
def test_global_randomness_does_not_matter(name: str) -> None:
    results = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)
        env = make(name)
        text, info = env.reset(seed=7)
        act = env.player("random", random.Random(7))
        results.append((text, info, walk(env, act, text)))
    assert results[0] == results[1]


@tasks
def test_pickle_in_the_middle_of_an_episode(name: str) -> None:
    env = make(name)
    actions = random_actions(env, seed=4)
    env.reset(seed=4)
    half = len(actions) // 2
    replay(env, actions[:half])
    copy = pickle.loads(pickle.dumps(env))
    rest = replay(env, actions[half:])
    # The original has ended; its copy has not, so the two share nothing.
    assert replay(copy, actions[half:]) == rest


@tasks
def test_snapshot_and_restore(name: str) -> None:
    env = make(name)
    actions = random_actions(env, seed=5)
    env.reset(seed=5)
    half = len(actions) // 2
    replay(env, actions[:half])
    snapshot = env.snapshot()
    rest = replay(env, actions[half:])
    for _ in range(2):  # a snapshot serves more than once
        env.restore(snapshot)
        assert replay(env, actions[half:]) == rest
    other = make(name)
    other.reset(seed=6)
    other.restore(snapshot)
    assert replay(other, actions[half:]) == rest


def check(env: TextEnv, step: Step) -> None:
    """Fail unless a step is well-formed."""
    assert isinstance(step.text, str)
    assert env.reward_range[0] <= step.reward <= env.reward_range[1]
    assert not (step.terminated and step.truncated)
    final = step.final_observation
    assert final is None or (step.truncated and isinstance(final, str))
    assert is_json(step.info)


@tasks
@pytest.mark.parametrize("kind", ["random", "optimal", "mixture", "illegal", "arbitrary"])
def test_every_episode_ends_in_time(name: str, kind: str) -> None:
    env = make(name)
    rng = random.Random(0)
    for seed in range(3):
        text, _ = env.reset(seed=seed)
        if kind == "illegal":
            steps = walk(env, lambda _: ILLEGAL, text, env.max_turns + 1)
        elif kind == "arbitrary":
            steps = walk(env, lambda _: arbitrary(rng), text, env.max_turns + 1)
        else:
            steps = walk(env, env.player(kind, rng), text, env.max_turns + 1)
        assert len(steps) <= env.max_turns
        assert steps[-1].terminated or steps[-1].truncated
        for step in steps:
            check(env, step)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                env.step(ILLEGAL)


@tasks
def test_step_before_reset_is_refused(name: str) -> None:
    with pytest.raises(RuntimeError):
        make(name).step(ILLEGAL)


@tasks
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_actions_are_only_illegal(name: str, kind: str) -> None:
    env = make(name)
    env.reset(seed=0)
    step = env.step(HOSTILE[kind])
    check(env, step)
    # A task may quote what was said, but not blow the context up.
    assert len(step.text) < 100_000 + len(HOSTILE[kind])


@tasks
def test_optimal_play_beats_random_play(name: str) -> None:
    env = make(name)
    # Long episodes tell more each, and cost more.
    episodes = 100 if env.max_turns <= 200 else 20
    mean = {
        player: fmean(play(env, player, seed).total_reward for seed in range(episodes))
        for player in ("optimal", "random")
    }
    assert mean["optimal"] >= mean["random"]
    if name not in BEST_OF_A_MODEL:
        assert mean["optimal"] <= env.score_range.best + 0.1 * (
            env.score_range.best - env.score_range.worst
        )


@tasks
def test_players_follow_from_their_generator(name: str) -> None:
    for player in make(name).players:
        pair = [play(make(name), player, seed=9) for _ in range(2)]
        said = [[turn.action for turn in trajectory.turns] for trajectory in pair]
        assert said[0] == said[1]


@tasks
def test_unknown_names_are_refused_with_the_nearest(name: str) -> None:
    near = f"did you mean '{name}'" if name in known() else "cannot be imported: .* no attribute"
    with pytest.raises(UsageError, match=near):
        make(name + "x")
    path = known()[name][0] if name in known() else name
    module, _, attribute = path.partition(":")
    for option in inspect.signature(getattr(import_module(module), attribute)).parameters:
        with pytest.raises(UsageError, match=f"did you mean '{option}'"):
            make(name, **{option + "x": 1})
    env = make(name)
    env.reset(seed=0)
    with pytest.raises(UsageError, match="did you mean 'random'"):
        env.player("randm", random.Random(0))


def test_importing_the_tasks_reads_no_asset() -> None:
    code = (
        "import importlib, pathlib, sys\n"
        "from lmrl.tasks import TASKS\n"
        "from lmrl.tasks.assets import FOLDER\n"
        "names = {path.name for path in FOLDER.iterdir() if path.suffix != '.py'}\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(args[0]))\n"
        "for path, _ in TASKS.values():\n"
        "    importlib.import_module(path.partition(':')[0])\n"
        "read = {pathlib.Path(str(path)).name for path in opened} & names\n"
        "assert opened and not read, read\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- maze -----------------------------------------------------------------------------------------


def everywhere(env: TextEnv, act: Callable[[str], str] | None = None) -> list[float]:
    """Return the returns of one episode from each start; None plays optimally."""
    assert isinstance(env, Maze)
    totals = []
    for cell in env.grid.starts:
        text, info = env.reset(seed=0, options={"init_position": cell})
        assert tuple(info["position"]) == cell
        steps = walk(env, act or env.player("optimal", random.Random(0)), text)
        totals.append(sum(step.reward for step in steps))
    return totals


@pytest.mark.parametrize("name", ["maze-fo", "maze-po"])
@pytest.mark.parametrize("faithful", [False, True])
def test_maze_returns_of_the_paper(name: str, faithful: bool) -> None:
    env = make(name, faithful=faithful)
    best = everywhere(env)
    assert len(best) == 25
    assert sum(best) == -171.0  # a mean of -6.84
    # Up and down between two walls: legal, and never at the goal.
    assert everywhere(env, lambda _: "move up\n") == [-101.0] * 25
    assert everywhere(env, lambda _: ILLEGAL) == [-401.0] * 25
    assert env.score_range == (-101.0, -83.0, -6.84 if name == "maze-fo" else -25.75)


def test_whole_episodes_of_the_maze_return_the_mean_of_the_constants() -> None:
    env = make("maze-fo")
    mean = fmean(play(env, "mixture-whole", seed).total_reward for seed in range(1500))
    assert mean == pytest.approx(-83.0, rel=0.05)


def test_maze_walks_into_walls_and_knows_four_words() -> None:
    env = make("maze-fo")
    env.reset(seed=0, options={"init_position": (1, 1)})
    bump = env.step("move up\n")
    assert bump.reward == -1.0
    assert bump.text == (
        "The goal is at position 8, 6. Your current position is at position 1, 1. "
        "There are walls to your left, above you, below you.\n"
    )
    for action in ("move right", "Move right\n", "move right \n", "move  right\n", "right\n"):
        step = env.step(action)
        assert (step.reward, step.info["position"]) == (-4.0, [1, 1])
    assert env.step("move right\n").info["position"] == [1, 2]
    env.reset(seed=0, options={"init_position": (1, 11)})
    assert "position 1, 1 0." in env.step("move left\n").text


def test_maze_limit_is_a_truncation_unless_faithful() -> None:
    for faithful in (False, True):
        env = make("maze-fo", faithful=faithful, max_steps=3)
        start, _ = env.reset(seed=0, options={"init_position": (1, 1)})
        steps = walk(env, lambda _: "move up\n", start)
        assert len(steps) == env.max_turns == 4
        assert (steps[-1].terminated, steps[-1].truncated) == (faithful, not faithful)
        assert steps[-1].text == "Failure\n"
        assert steps[-1].final_observation == (None if faithful else start)


def test_maze_limit_does_not_execute_the_last_action() -> None:
    env = make("maze-fo", max_steps=1)
    env.reset(seed=0, options={"init_position": (6, 6)})
    assert env.step("move down\n").info["position"] == [7, 6]
    swallowed = env.step("move down\n")
    assert (swallowed.reward, swallowed.info["position"]) == (-1.0, [7, 6])
    assert swallowed.info["success"] is False


def po_episode(actions: list[str], **options: Any) -> list[tuple[int, int]]:
    """Return for each turn of a walk and the end: span of the context, how many items there are."""
    episode = Episode(make("maze-po", **options), 0, start={"init_position": (1, 1)})
    seen = [(episode.span, len(episode.items))]
    for action in actions:
        episode.act(action)
        seen.append((episode.span, len(episode.items)))
    return seen


def test_maze_po_window() -> None:
    steps = ["move up\n"] * 30
    # An item is an observation or an action, and the last one is the newest observation, so a
    # context opens with an observation exactly if its span is odd.
    assert [span for span, _ in po_episode(steps)] == [min(2 * n + 1, 39) for n in range(31)]
    faithful = po_episode(steps, faithful=True)
    assert [span for span, _ in faithful] == [min(2 * n + 1, 40) for n in range(31)]


def test_maze_po_history_after_an_illegal_action() -> None:
    steps = ["move up\n", "move up\n", ILLEGAL, "move up\n"]
    assert [span for span, _ in po_episode(steps)] == [1, 3, 5, 7, 9]
    assert [span for span, _ in po_episode(steps, faithful=True)] == [1, 3, 5, 1, 3]
    kept = po_episode(steps, faithful=True, drop_history_on_invalid=False)
    assert [span for span, _ in kept] == [1, 3, 5, 7, 9]
    dropped = po_episode(steps, drop_history_on_invalid=True)
    assert [span for span, _ in dropped] == [1, 3, 5, 1, 3]


def test_maze_fo_policy_sees_one_text() -> None:
    episode = Episode(make("maze-fo"), 0)
    while not episode.done:
        assert episode.span == 1
        episode.act("move up\n")
    assert episode.trajectory().final_span == 1


@pytest.mark.parametrize("layout", sorted(layouts()))
def test_maze_optimal_moves_shorten_the_way_by_one(layout: str) -> None:
    maze = grid(layout)
    distance = maze.distances(maze.goal)
    assert maze.goal in maze.cells
    for cell in maze.starts:
        moves = maze.best_moves(cell, maze.goal)
        assert moves
        for move in moves:
            assert distance[maze.move[cell, move]] == distance[cell] - 1
        row, col = cell
        near = [maze.move[cell, move] for move in MOVES]
        assert all(abs(r - row) + abs(c - col) <= 1 for r, c in near)
    assert maze.best_moves(maze.goal, maze.goal) == []


def test_maze_starts_cover_every_free_cell() -> None:
    env = make("maze-fo")
    assert isinstance(env, Maze)
    starts = [tuple(env.reset(seed=seed)[1]["position"]) for seed in range(500)]
    assert set(starts) == set(env.grid.starts)
    assert any(a != b for a, b in pairwise(starts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "umaz"}, "did you mean 'umaze'"),
        ({"reward": "standrd"}, "did you mean 'standard'"),
        ({"observation": "wals"}, "did you mean 'walls'"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"max_steps": True}, "max_steps is True"),
        ({"last_k": 1.5}, "last_k is 1.5"),
    ],
)
def test_maze_refuses_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make("maze-fo", **options)


@pytest.mark.parametrize(
    "start",
    [{"init_position": (0, 0)}, {"init_position": (8, 6)}, {"goal": (0, 0)}],
)
def test_maze_refuses_bad_starts(start: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make("maze-fo").reset(seed=0, options=start)
