"""Env steps and episodes per second of every task, against a lock-step batch loop.

    python -m benchmarks.rollout
    python -m benchmarks.rollout --quick --json

Both sides play the same episodes with the same engine settings, one after the other: a simulator
actor with a sampler actor, and `benchmarks.rollout.lock_step`. The cases are all ten variants with
a small model of random weights, a task with geometric lengths, and Wordle with GPT-2 4x256, a
vocabulary of 50,257 and actions of 16 tokens. It writes `results/rollout.json`.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import ray

from actors.config import SamplerConfig, SimulatorConfig
from actors.messages import Decoding, EpisodeId, Job
from actors.sampler import SamplerActor
from actors.simulator import SimulatorActor
from benchmarks.rollout.cases import SHORT, TAIL, Case
from benchmarks.running import arguments, finish, process, run, spread
from benchmarks.running.models import make_gpt2
from cluster.startup.ray_session import ray_session
from learners.checkpoints.initial import context_of
from lmrl.env import Player
from lmrl.errors import RunError
from lmrl.seeds import player_rng
from lmrl.tasks import TASKS, make
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig

WORDLE = "Wordle rollout env steps/s, GPT-2 4x256, vocabulary 50,257, 16 tokens an action"
LONG = "rollout episodes/s / lock-step loop, long-tailed task"


def texts(cases: Sequence[Case]) -> list[str]:
    """Return observations of all tasks, from which a tokenizer is made."""
    found = []
    for case in cases:
        env = make(case.task, **case.options)
        found.append(env.reset(seed=case.seed)[0])
        act: Player = env.player("random", player_rng("random", case.seed))
        action = act(found[-1])
        found += [action, env.step(action).text]
    return found


def through_actors(checkpoint: Path, cases: Sequence[Case], repeats: int) -> list[Any]:
    """Return seconds, turns and episodes of each case and repeat, with a simulator and a sampler.

    Args:
        checkpoint: checkpoint directory of the policy.
        cases: episodes to play.
        repeats: measurements of each case.
    """
    codec = Codec.load(checkpoint)
    context, found = context_of(checkpoint), []
    with ray_session():
        name = "rollout-sampler"
        sampler = SamplerActor.options(name=name, num_cpus=0).remote(
            str(checkpoint), SamplerConfig(), context, codec.format.stop_ids("\n"), "cpu", 0
        )
        ray.get(sampler.state.remote())
        for case in cases:
            simulator = SimulatorActor.options(num_cpus=0).remote(
                [name], str(checkpoint), FormatConfig(), context - case.tokens, SimulatorConfig()
            )
            play(simulator, replace(case, episodes=min(8, case.episodes), seed=10**6))
            # Other seeds, so that no repeat finds its contexts in the prefix cache.
            seeds = [case.seed + repeat * case.episodes for repeat in range(repeats)]
            found.append([play(simulator, replace(case, seed=seed)) for seed in seeds])
            ray.kill(simulator)
    return found


def play(simulator: Any, case: Case) -> dict[str, float]:
    """Play a case on a simulator and return its seconds, turns and episodes.

    Raises:
        RunError: if an episode fails.
    """
    wanted = [EpisodeId(case.seed + number) for number in range(case.episodes)]
    decoding = Decoding(max_tokens=case.tokens, seed=case.seed)
    job = Job(case.task, case.options, wanted, decoding, at_once=case.width)
    turns = episodes = 0
    began = time.perf_counter()
    for ref in simulator.play.options(num_returns="streaming").remote(job):
        finished = ray.get(ref)
        if finished.failures:
            raise RunError(f"{case.name}: {finished.failures[0].error}")
        episodes += finished.table.num_rows
        turns += len(finished.table["turns"].combine_chunks().flatten())
    return {"seconds": time.perf_counter() - began, "turns": turns, "episodes": episodes}


def lock_step(checkpoint: Path, cases: Sequence[Case], repeats: int) -> list[Any]:
    """Return seconds, turns and episodes of each case and repeat in a lock-step loop."""
    command = [sys.executable, "-m", "benchmarks.rollout.lock_step", str(checkpoint)]
    command += [json.dumps([case.to_json() for case in cases]), "--repeats", str(repeats)]
    return [json.loads(line) for line in process(command).splitlines()]


def row(case: Case, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> dict[str, Any]:
    """Return the figures of a case.

    Args:
        case: episodes that were played.
        ours, theirs: seconds, turns and episodes of each repeat, of actors and lock-step loop.
    """

    def rates(runs: list[dict[str, float]], what: str) -> list[float]:
        return [one[what] / one["seconds"] for one in runs]

    own, other = rates(ours, "episodes"), rates(theirs, "episodes")
    return {
        "case": case.name,
        **case.to_json(),
        "steps_per_s": spread(rates(ours, "turns")),
        "episodes_per_s": spread(own),
        "lock_step_steps_per_s": spread(rates(theirs, "turns")),
        "lock_step_episodes_per_s": spread(other),
        "ratio": median(own) / median(other),
    }


def measure(checkpoint: Path, cases: Sequence[Case], repeats: int) -> list[dict[str, Any]]:
    """Return the figures of all cases of one policy."""
    ours = through_actors(checkpoint, cases, repeats)
    theirs = lock_step(checkpoint, cases, repeats)
    return [row(*found) for found in zip(cases, ours, theirs, strict=True)]


def main(options: argparse.Namespace) -> None:
    """Measure, and write the result."""
    sizes = {"episodes": options.episodes, "width": options.width, "seed": options.seed}
    cases = [Case(name, name, SHORT.get(name, {}), **sizes) for name in options.tasks]
    tail = Case("long-tailed", TAIL, **sizes)
    wordle = Case("wordle, GPT-2 4x256", "wordle", tokens=16, **sizes)
    with tempfile.TemporaryDirectory() as folder:
        small, wide = Path(folder) / "small", Path(folder) / "wide"
        make_gpt2(small, texts([*cases, tail]), 1024, 512, 2, 128)
        make_gpt2(wide, texts([wordle]), context=256)
        rows = measure(small, [*cases, tail], options.repeats)
        rows += measure(wide, [wordle], options.repeats)
    by_name = {found["case"]: found for found in rows}
    ratios = {
        LONG: by_name[tail.name]["ratio"],
        WORDLE: by_name[wordle.name]["steps_per_s"]["median"],
    }
    command = (
        f"python -m benchmarks.rollout --tasks {' '.join(options.tasks)} --episodes "
        f"{options.episodes} --width {options.width} --repeats {options.repeats} "
        f"--seed {options.seed}"
    )
    finish("rollout", command, {"ratios": ratios, "rows": rows}, options)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="*", default=sorted(TASKS), help="names of tasks")
    parser.add_argument("--episodes", type=int, default=128, help="episodes of a case")
    parser.add_argument("--width", type=int, default=64, help="episodes that run at one time")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each case")
    options = parser.parse_args()
    if options.quick:
        options.tasks, options.episodes, options.width, options.repeats = ["maze-fo"], 8, 4, 1
    return options


if __name__ == "__main__":
    sys.exit(run(partial(main, read_options())))
