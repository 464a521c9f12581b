"""The tasks keep Gymnasium's contract, and are the same tasks there."""

import pickle
import random
import subprocess
import sys
import warnings

import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from lmrl.adapters.gymnasium import AnyText, TaskEnv, env_id  # noqa: E402
from lmrl.env import TextEnv  # noqa: E402
from lmrl.tasks import known, make  # noqa: E402


def test_ids_are_camel_case_and_complete() -> None:
    assert env_id("wordle") == "lmrl/Wordle-v0"
    assert env_id("maze-fo") == "lmrl/MazeFo-v0"
    assert {env_id(name) for name in known()} <= set(gymnasium.registry)
    assert len({env_id(name) for name in known()}) == len(known())


@pytest.mark.parametrize("name", ["maze-fo", "text-nav-po", "wordle"])
def test_gymnasium_finds_nothing_to_warn_of(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id(name)).unwrapped)


@pytest.mark.parametrize("name", ["maze-po", "text-nav-fo", "twenty-questions", "wordle"])
def test_steps_are_those_of_the_task(name: str) -> None:
    native, env = make(name), gymnasium.make(env_id(name))
    inner = env.unwrapped.task
    assert isinstance(inner, TextEnv) and type(inner) is type(native)
    for seed in range(3):
        assert env.reset(seed=seed) == native.reset(seed=seed)
        act, over, text = native.player("random", random.Random(seed)), False, ""
        while not over:
            action = act(text)
            expected = native.step(action)
            found = env.step(action)
            info = {
                **expected.info,
                "replaces_history": expected.replaces_history,
                "final_observation": expected.final_observation,
            }
            assert type(found) is tuple and found == (*expected[:4], info)
            text, over = expected.text, expected.terminated or expected.truncated
    env.close()


def test_a_seed_rules_the_episodes_that_follow_too() -> None:
    def starts(seed: int) -> list[int]:
        env = gymnasium.make("lmrl/Wordle-v0")
        seeds = [env.reset(seed=seed)[1]["seed"]]
        return seeds + [env.reset()[1]["seed"] for _ in range(4)]

    assert starts(3) == starts(3)
    assert starts(3)[0] == 3 and len(set(starts(3))) == 5
    assert starts(3)[1:] != starts(4)[1:]


def test_options_reach_the_task_and_the_episode() -> None:
    env = gymnasium.make("lmrl/MazeFo-v0", max_steps=2)
    _, info = env.reset(seed=0, options={"init_position": (1, 1)})
    assert info["position"] == [1, 1]
    for _ in range(2):
        assert env.step("move up\n")[2:4] == (False, False)
    assert env.step("move up\n")[2:4] == (False, True)


def test_any_text_is_in_the_space_and_samples_follow_the_seed() -> None:
    space, twin = AnyText(seed=7), AnyText(seed=7)
    samples = [space.sample() for _ in range(50)]
    assert samples == [twin.sample() for _ in range(50)]
    assert samples != [AnyText(seed=8).sample() for _ in range(50)]
    assert len(set(samples)) == 50 and all(text in space for text in samples)
    for text in ("", "\n", "\x00", "\U0001f600", "a" * 10**6):
        assert text in space
    assert b"move up\n" not in space and 3 not in space and None not in space
    assert space == AnyText() and space != gymnasium.spaces.Text(5)
    assert pickle.loads(pickle.dumps(space)).sample() == space.sample()
    with pytest.raises(ValueError, match="any text is allowed"):
        space.sample(mask=1)  # type: ignore[arg-type]


def test_several_at_once() -> None:
    envs = gymnasium.make_vec("lmrl/MazeFo-v0", num_envs=3, vectorization_mode="sync")
    texts, _ = envs.reset(seed=[1, 2, 3])
    alone = [make("maze-fo").reset(seed=seed)[0] for seed in (1, 2, 3)]
    assert list(texts) == alone
    _, rewards, *_ = envs.step(("move up\n",) * 3)
    assert rewards.tolist() == [-1.0] * 3
    envs.close()


def test_gymnasium_is_loaded_by_this_module_alone() -> None:
    code = (
        "import sys, lmrl, lmrl.cli, lmrl.episode\n"
        "assert 'gymnasium' not in sys.modules\n"
        "import gymnasium\n"
        "assert 'lmrl.adapters.gymnasium' not in sys.modules\n"
        "env = gymnasium.make('lmrl.adapters.gymnasium:lmrl/MazeFo-v0', last_k=7)\n"
        "assert env.unwrapped.task.window == 7\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_tasks_are_refused_as_everywhere() -> None:
    with pytest.raises(ValueError, match="did you mean 'wordle'"):
        TaskEnv("wordel")
