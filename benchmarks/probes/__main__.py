"""What the data of each task test, by cheap measures.

    python -m benchmarks.probes
    python -m benchmarks.probes --episodes 1240 --json

- `rewarded`: share of actions whose reward is not the commonest one of the task. Where it is small,
  a learner has to find out which of the other actions mattered (credit assignment).
- `mean`, `best_tenth`, `optimal`: normalised scores of the data, of its best tenth and of the
  optimal player. Where the best tenth is far from optimal, copying it is not enough.
- for the mazes, tabular policies that learned from the data. Where Q-learning is far above every
  clone, parts of episodes have to be put together (stitching). In `maze-po`, where both see the
  newest observation alone, it is not: one observation does not tell where one is (partial
  observation).
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from time import perf_counter
from typing import Any

from benchmarks.probes.maze import best_tenth, measure
from benchmarks.record import save
from lmrl.data.generate import episodes
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.scoring.score import normalised
from lmrl.tasks import known, make
from lmrl.tasks.maze import Maze
from lmrl.trajectory import Trajectory

SECONDS = 20.0
"""Time after which no further episode of a task begins, in seconds."""


def rewarded(data: Sequence[Trajectory]) -> float:
    """Return the share of actions whose reward is not the commonest one."""
    rewards = Counter(turn.reward for episode in data for turn in episode.turns)
    return 1.0 - rewards.most_common(1)[0][1] / rewards.total()


def probe(env: TextEnv, task: str, count: int) -> dict[str, Any]:
    """Return the measures of a task.

    Args:
        env: task.
        task: name of the task.
        count: largest number of episodes of its data.
    """
    data, began = [], perf_counter()
    for episode in episodes(env, task, count, 0, "mixture", {}):
        data.append(episode)
        if perf_counter() - began > SECONDS:
            break

    def scored(found: Sequence[Trajectory]) -> float:
        return round(normalised(fmean(e.total_reward for e in found), env.score_range), 1)

    found: dict[str, Any] = {
        "episodes": len(data),
        "rewarded": round(rewarded(data), 3),
        "mean": scored(data),
        "best_tenth": scored(best_tenth(data)),
        "optimal": scored([play(env, "optimal", seed, task) for seed in range(20)]),
    }
    if isinstance(env, Maze):
        # Episodes of these data are cut early, so that their returns are not those of a policy.
        del found["mean"], found["best_tenth"]
        found["policies"] = measure(env, data)
        whole = list(episodes(env, task, count, 0, "mixture-whole", {}))
        found["policies of mixture-whole"] = measure(env, whole)
    return found


def main() -> None:
    """Probe all tasks and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=1240, help="episodes of a task (1240)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    tasks = {task: probe(make(task), task, options.episodes) for task in sorted(known())}
    command = f"python -m benchmarks.probes --episodes {options.episodes}"
    save("probes", command, {"asked": options.episodes, "tasks": tasks})
    if options.json:
        print(json.dumps(tasks, indent=2))
        return
    for task, row in tasks.items():
        print(f"{task:<18} {row}")


if __name__ == "__main__":
    main()
