"""`lmrl transcripts`: episodes of a run or a data set as text."""

import argparse
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json, index, integer, path
from lmrl.cli.output import print_json
from lmrl.errors import UsageError

EXAMPLE = """lmrl transcripts runs/demo                  best, median and worst of the last policy
  lmrl transcripts runs/demo --best 3 --policy bc
  lmrl transcripts data/maze --seed 7"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    transcripts = add_command(
        commands, "transcripts", "print episodes of a run or a data set", EXAMPLE, run
    )
    transcripts.add_argument(
        "source", type=path, metavar="RUN|DATA", help="run directory, or data set"
    )
    transcripts.add_argument("--best", type=index, metavar="N", help="episodes of highest return")
    transcripts.add_argument("--worst", type=index, metavar="N", help="episodes of lowest return")
    transcripts.add_argument(
        "--seed", type=integer, nargs="+", default=[], metavar="N", help="episodes of these seeds"
    )
    transcripts.add_argument(
        "--kind",
        choices=("evaluation", "selection", "training"),
        help="purpose of a run's episodes (evaluation)",
    )
    transcripts.add_argument(
        "--policy", metavar="NAME", help="name of a policy in a run (the one scored last)"
    )
    add_json(transcripts)


def run(options: argparse.Namespace) -> int:
    """Print episodes as text."""
    from lmrl.trajectory import transcript

    chosen = choose(episodes(options), options.best, options.worst, options.seed)
    if options.json:
        print_json([_record(episode) for episode in chosen])
    else:
        print("\n\n".join(transcript(episode) for episode in chosen))
    return 0


def episodes(options: argparse.Namespace) -> list[Any]:
    """Return the episodes to choose from.

    Raises:
        UsageError: if a run has none of the wanted kind or policy, or options have no effect.
    """
    from lmrl.data.store import load
    from lmrl.runs.names import MARKER, TRAJECTORIES, UPDATE

    source: Path = options.source
    if not (source / MARKER).is_file():
        for name in ("kind", "policy"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} is for run directories, and {source} is not one")
        return list(load(source))
    kind = options.kind or "evaluation"
    paths = sorted((source / TRAJECTORIES / kind).glob("*.parquet"))
    labels: dict[str, list[tuple[int, Path]]] = {}
    for file in paths:
        if found := UPDATE.search(file.stem):
            labels.setdefault(file.stem[: found.start()], []).append((int(found[1]), file))
    if not labels:
        raise UsageError(f"{source} has no episodes of {kind} yet; give another --kind")
    if options.policy is not None and options.policy not in labels:
        from lmrl.errors import unknown

        raise unknown("policy", options.policy, labels)
    among = [options.policy] if options.policy is not None else list(labels)
    last = max(update for label in among for update, _ in labels[label])
    files = [file for label in among for update, file in labels[label] if update == last]
    return [episode for file in files for episode in load(file)]


def choose(found: list[Any], best: int | None, worst: int | None, seeds: list[int]) -> list[Any]:
    """Return the wanted episodes; the best, the median and the worst one if none is wanted.

    Args:
        found: episodes to choose from.
        best: number of episodes of highest return; None for none.
        worst: number of episodes of lowest return; None for none.
        seeds: seeds of further episodes.

    Raises:
        UsageError: if there is no episode, or none with one of the seeds.
    """
    if not found:
        raise UsageError("there is no episode; choose another run, data set or --kind")
    order = sorted(found, key=lambda episode: -episode.total_reward)
    if best is None and worst is None and not seeds:
        places = dict.fromkeys((0, len(order) // 2, len(order) - 1))
        return [order[place] for place in places]
    chosen = order[: best or 0] + order[len(order) - min(worst or 0, len(order)) :]
    for seed in seeds:
        there = [episode for episode in found if episode.seed == seed]
        if not there:
            known = sorted({episode.seed for episode in found})
            raise UsageError(
                f"--seed {seed} is not among the episodes; give one from {known[0]} to {known[-1]}"
            )
        chosen += there
    return chosen


def _record(episode: Any) -> dict[str, Any]:
    return {
        "task": episode.task,
        "seed": episode.seed,
        "player": episode.player,
        "return": episode.total_reward,
        "ending": episode.ending,
        "turns": [
            {"observation": turn.observation, "action": turn.action, "reward": turn.reward}
            for turn in episode.turns
        ],
        "final": episode.final,
        "info": episode.info,
    }
