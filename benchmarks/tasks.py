"""Speed of the tasks: steps per second and milliseconds per reset, in one process.

    python -m benchmarks.tasks
    python -m benchmarks.tasks --json

The actions of the random player are recorded before the measurement and then repeated, so that the
time of the player is not measured.
"""

import argparse
import json
from itertools import cycle
from time import perf_counter
from typing import Any

from benchmarks.record import save
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.scoring.text import text_table
from lmrl.tasks import known, make

RECORDING, TIMING = 0.3, 0.7
"""Time of each task, in seconds; the last episode of each is played to its end."""

Recorded = tuple[int, list[str]]
"""A recorded episode: its seed and its actions."""


def record(env: TextEnv, seconds: float) -> list[Recorded]:
    """Return recorded episodes of the random player, at least one.

    Args:
        env: task to play.
        seconds: time after which no further episode begins, in seconds.
    """
    episodes: list[Recorded] = []
    began = perf_counter()
    while not episodes or perf_counter() - began < seconds:
        seed = len(episodes)
        episodes.append((seed, [turn.action for turn in play(env, "random", seed).turns]))
    return episodes


def measure(env: TextEnv, episodes: list[Recorded], seconds: float) -> dict[str, Any]:
    """Play the recorded episodes again and again; return speeds and counts.

    Args:
        env: task to play.
        episodes: recorded episodes.
        seconds: time after which no further episode begins, in seconds.
    """
    resetting = stepping = 0.0
    steps = resets = 0
    for seed, actions in cycle(episodes):
        began = perf_counter()
        env.reset(seed=seed)
        ready = perf_counter()
        for action in actions:
            env.step(action)
        resetting += ready - began
        stepping += perf_counter() - ready
        steps, resets = steps + len(actions), resets + 1
        if resetting + stepping >= seconds:
            break
    return {
        "steps_per_s": round(steps / stepping, 1),
        "reset_ms": round(1e3 * resetting / resets, 4),
        "steps_per_s_with_resets": round(steps / (stepping + resetting), 1),
        "steps": steps,
        "episodes": resets,
    }


def main() -> None:
    """Measure every registered task and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    for name in sorted(known()):
        env = make(name)
        rows[name] = measure(env, record(env, RECORDING), TIMING)
    path = save("tasks", "python -m benchmarks.tasks", {"tasks": rows})
    if options.json:
        print(json.dumps({"tasks": rows}, indent=2))
        return
    cells = [
        (
            name,
            f"{row['steps_per_s']:,.0f}",
            f"{row['reset_ms']:.3f}",
            f"{row['steps_per_s_with_resets']:,.0f}",
        )
        for name, row in rows.items()
    ]
    print(text_table(("task", "steps/s", "reset ms", "steps/s with resets"), cells))
    print(path)


if __name__ == "__main__":
    main()
