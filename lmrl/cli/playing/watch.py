"""`lmrl watch`: policies play the same episodes side by side."""

import argparse
import sys
import time
from typing import Any

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_task_options,
    count,
    integer,
    real,
    task_options,
)
from lmrl.cli.playing.study import add_decoding, partners

EXAMPLE = """lmrl watch maze-fo --policy random optimal
  lmrl watch wordle --options.words 100 --policy runs/wordle/checkpoints/last optimal --seed 3"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    watch = add_command(
        commands, "watch", "watch policies play the same episodes side by side", EXAMPLE, run
    )
    watch.add_argument("task", metavar="TASK", help="name of the task, or module:Class")
    watch.add_argument(
        "--policy",
        nargs="+",
        required=True,
        metavar="POLICY",
        help="checkpoint directories or scripted players",
    )
    watch.add_argument("--episodes", type=count, default=1, metavar="N", help="episodes (1)")
    watch.add_argument(
        "--seed", type=integer, default=0, metavar="N", help="seed of the first episode (0)"
    )
    watch.add_argument(
        "--delay", type=real, default=0.5, metavar="S", help="pause after a turn, in seconds (0.5)"
    )
    add_decoding(watch)
    add_task_options(watch)


def run(options: argparse.Namespace) -> int:
    """Play the episodes and show them turn by turn; without a terminal, each at its end."""
    from lmrl.human.study import ORACLE, Study

    study = Study(
        options.task,
        task_options(options, options.task),
        ORACLE,
        tuple(options.policy),
        options.episodes,
        options.seed,
        decoding={"temperature": options.temperature, "max_tokens": options.max_tokens},
    )
    study.check_policies()
    with partners(study) as policies:
        for seed in range(options.seed, options.seed + options.episodes):
            _show(study, policies, seed, options.delay)
    return 0


def _show(study: Any, policies: dict[str, Any], seed: int, delay: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from lmrl.tasks import make

    games = {
        name: policies[name].start(
            make(study.task, **study.options), seed, study.task, study.options
        )
        for name in study.policies
    }
    console = Console()
    if not sys.stdout.isatty():
        while _advance(games):
            pass
        console.print(_screen(study, games, seed, limit=10**6))
        return
    # As many turns as the screen holds; each takes at least two lines.
    limit = max((console.height - 6) // 3, 1)
    with Live(_screen(study, games, seed, limit), console=console, auto_refresh=False) as live:
        while _advance(games):
            live.update(_screen(study, games, seed, limit), refresh=True)
            time.sleep(delay)


def _advance(games: dict[str, Any]) -> bool:
    """Let every policy whose episode goes on act once; return whether one did."""
    going = [game for game in games.values() if not game.episode.done]
    for game in going:
        game.advance()
    return bool(going)


def _screen(study: Any, games: dict[str, Any], seed: int, limit: int) -> Any:
    """Return the newest turns of every policy as a table, a column each.

    Args:
        study: the `Study` that names the policies.
        games: running games by policy.
        seed: seed of the episode.
        limit: largest number of turns to show.
    """
    from rich.table import Table
    from rich.text import Text

    from lmrl.trajectory import printable

    table = Table(title=Text(f"{study.task}, seed {seed}"), expand=True, show_lines=False)
    cells = []
    for name, game in games.items():
        episode = game.episode
        total = sum(turn.reward for turn in episode.turns)
        state = "over" if episode.done else "plays"
        short = name if len(name) <= 32 else "..." + name[-29:]
        table.add_column(
            Text(f"{short}: return {total:g}, {len(episode.turns)} turns, {state}"), ratio=1
        )
        text = Text()
        for turn in episode.turns[-limit:]:
            text.append(printable(turn.observation) + "\n", style="dim")
            text.append(f"> {printable(turn.action)}  ({turn.reward:+g})\n", style="bold")
        text.append(printable(str(episode.info.get("last_text", episode.observation))))
        cells.append(text)
    table.add_row(*cells)
    return table
