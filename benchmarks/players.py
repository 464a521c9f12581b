"""Scores of the scripted players in every task, with which a model's score can be compared.

    python -m benchmarks.players
    python -m benchmarks.players --episodes 1000 --seconds 60 --json

All players of a task play the first seeds on which `lmrl evaluate` scores. A slow task gets fewer
episodes than requested: as many as fit the time limit. The result has their number. Where the
episodes of a data set are cut earlier than those of a score, the result describes them in `data`.
"""

import argparse
import json
from time import perf_counter
from typing import Any

from benchmarks.record import save
from lmrl.data.generate import episodes
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.scoring.score import score_of
from lmrl.scoring.text import interval, text_table
from lmrl.seeds import FIRST_EVALUATION_SEED, evaluation_seeds
from lmrl.tasks import known, make

PLAYERS = ("random", "mixture", "optimal")
LEAST = 10
"""Smallest number of episodes of a player, however long they take."""


def measure(env: TextEnv, name: str, player: str, episodes: int, seconds: float) -> dict[str, Any]:
    """Return the score of a player.

    Args:
        env: task to play.
        name: name of the task.
        player: name of the player.
        episodes: number of episodes.
        seconds: time after which no further episode begins, in seconds.
    """
    began = perf_counter()
    played = []
    for seed in evaluation_seeds(FIRST_EVALUATION_SEED, episodes):
        played.append(play(env, player, seed, name))
        if perf_counter() - began > seconds and len(played) >= LEAST:
            break
    return score_of(played, env).to_json()


def main() -> None:
    """Score the players of every registered task, describe its data, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--episodes", type=int, default=200, help="number of episodes of each player (200)"
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="time limit of each player of a task (30)"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    rows = {
        name: {
            player: measure(make(name), name, player, options.episodes, options.seconds)
            for player in PLAYERS
        }
        for name in sorted(known())
    }
    data = {
        name: score_of(list(episodes(env, name, options.episodes, 0, "mixture", {})), env).to_json()
        for name in sorted(known())
        if (env := make(name)).data_starts
    }
    command = (
        f"python -m benchmarks.players --episodes {options.episodes} --seconds {options.seconds:g}"
    )
    record = {
        "asked": options.episodes,
        "first_seed": FIRST_EVALUATION_SEED,
        "tasks": rows,
        "data": data,
    }
    path = save("players", command, record)
    if options.json:
        print(json.dumps(record, indent=2))
        return
    cells = [
        (
            name,
            player,
            f"{row['return_mean']:.3f}",
            interval(row["ci95"], 3),
            f"{row['normalised']:.1f}",
            str(row["episodes"]),
        )
        for name, players in rows.items()
        for player, row in players.items()
    ]
    columns = ("task", "player", "return", "95 % interval", "normalised", "episodes")
    print(text_table(columns, cells, left=2))
    print(path)


if __name__ == "__main__":
    main()
