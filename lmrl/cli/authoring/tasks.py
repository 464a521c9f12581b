"""`lmrl tasks`: list the tasks, or describe one."""

import argparse
import math
import sys
import textwrap
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json
from lmrl.cli.output import print_json

EXAMPLE = """lmrl tasks
  lmrl tasks wordle
  lmrl tasks my_module:MyTask --json"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    tasks = add_command(commands, "tasks", "list the tasks, or describe one", EXAMPLE, run)
    tasks.add_argument("task", nargs="?", metavar="TASK", help="name of a task, or module:Class")
    add_json(tasks)


def run(options: argparse.Namespace) -> int:
    """Print every task, or one with its rules, an example, its players, variants and options.

    A task that cannot be made (a library is missing, an entry point is broken) is a warning.
    """
    from lmrl.errors import UsageError
    from lmrl.scoring.tables import tasks_table
    from lmrl.tasks import known
    from lmrl.trajectory import printable

    if options.task is not None:
        record = described(options.task)
        if options.json:
            print_json(record)
        else:
            print(text(record))
        return 0
    rows, unusable = [], []
    for name in sorted(known()):
        try:
            rows.append(listed(name))
        except UsageError as error:
            unusable.append(f"{name}: {error}")
    for line in unusable:
        print(f"lmrl: cannot list {printable(line)}", file=sys.stderr)
    if options.json:
        print_json(rows)
    else:
        print(tasks_table(rows))
        print("\n'lmrl tasks TASK' has the rules, an example and the options of a task")
    return 0


def listed(name: str) -> dict[str, Any]:
    """Return a task's turns, score range, players and variants."""
    from lmrl.tasks import make

    env = make(name)
    return {
        "task": name,
        "max_turns": env.max_turns,
        "score_range": list(env.score_range),
        "players": sorted(env.players),
        "variants": {name: dict(options) for name, options in env.variants.items()},
    }


def described(name: str) -> dict[str, Any]:
    """Return everything about a task.

    Args:
        name: name of a task, or `module:Class`.
    """
    from lmrl.data.published import of_task
    from lmrl.episode import play
    from lmrl.fields.attributes import first_sentence
    from lmrl.tasks import make, task_class
    from lmrl.tasks.options import options_of
    from lmrl.trajectory import transcript

    env = make(name)
    options = options_of(name)
    player = next((p for p in ("optimal", "mixture", "random") if p in env.players), None)
    return {
        **listed(name),
        "summary": first_sentence(task_class(name)[0]),
        "rules": env.instructions,
        "reward_range": list(env.reward_range),
        "window": env.window,
        "actions": list(env.actions),
        "answers": env.oracle_option or None,
        "options": [
            {
                "name": option.name,
                "default": option.default,
                "takes": option.takes,
                "text": option.text,
            }
            for option in options.values()
        ],
        "diagnostics": type(env).diagnostics is not _base_diagnostics(),
        "published": of_task(name),
        "paper": _paper(name),
        "measured": _measured(name),
        "example": transcript(play(env, player, 0, name)) if player else "",
    }


def _paper(name: str) -> dict[str, float]:
    """Return the paper's mean returns by algorithm; empty for a task that it does not have."""
    from lmrl.scoring.published import COLUMNS, PUBLISHED_SCORES

    scores = PUBLISHED_SCORES.get(name, {})
    return {
        COLUMNS[algorithm]: score.returned
        for algorithm, score in scores.items()
        if score.returned is not None
    }


def _base_diagnostics() -> Any:
    from lmrl.env import TextEnv

    return TextEnv.diagnostics


def _measured(name: str) -> list[dict[str, Any]]:
    """Return the presets of a task that were measured, with their results."""
    from lmrl.cli.training.listing import preset_rows

    return [row for row in preset_rows() if row["task"] == name and row["return"] is not None]


def text(record: dict[str, Any]) -> str:
    """Return a described task as text.

    Args:
        record: result of `described`.
    """
    worst, data, best = record["score_range"]
    low, high = record["reward_range"]
    lines = [
        f"{record['task']}: {record['summary']}",
        "",
        "rules",
        _indented(record["rules"] or "not given"),
        "",
        f"turns      at most {record['max_turns']}, each with {_rewards(low, high)}",
        f"score      mean return of an episode; normalised: {worst:g} is 0, {data:g} is 50, "
        f"{best:g} is 100",
        f"history    {_window(record['window'])}",
        f"players    {', '.join(record['players']) or 'none'}",
        f"variants   {', '.join(record['variants']) or 'none'}",
    ]
    if record["answers"]:
        lines.append("answers    a scripted oracle or buyer, or a model (--oracle)")
    if record["diagnostics"]:
        lines.append("measures   the task has its own, see 'lmrl evaluate checkpoint --rerank'")
    lines.append("\noptions (--options.NAME VALUE)")
    for option in record["options"]:
        lines.append(f"  {option['name']} ({option['default']!r})  {option['takes']}")
        if option["text"]:
            lines.append(_indented(option["text"], 6))
    lines += _scores(record)
    if record["example"]:
        lines += ["\nexample (the best scripted player)", record["example"]]
    return "\n".join(lines)


def _rewards(low: float, high: float) -> str:
    return f"a reward of {low:g} to {high:g}" if math.isfinite(high - low) else "any reward"


def _window(window: int | None) -> str:
    if window is None:
        return "the policy sees the whole history"
    return f"the policy sees the newest {window} texts" if window > 1 else "the newest text only"


def _scores(record: dict[str, Any]) -> list[str]:
    lines = ["\nmeasured presets"]
    for row in record["measured"]:
        lines.append(
            f"  {row['preset']}: return {row['return']:.2f}, {row['seeds']} seed(s), "
            f"{row['minutes']:.0f} min"
        )
    if not record["measured"]:
        lines.append("  none")
    if record["paper"]:
        from lmrl.scoring.published import RETURNS_SOURCE

        lines.append(f"\npublished returns ({RETURNS_SOURCE})")
        lines.append(
            "  " + ", ".join(f"{name} {value:g}" for name, value in record["paper"].items())
        )
    found = record["published"]
    if found:
        lines += [
            f"\npublished data set ({found['source']})",
            f"  return mean {found['return_mean']:g}  std {found['return_std']:g}, length mean "
            f"{found['length_mean']:g}, success {found['success']:g}, {found['episodes']} episodes",
        ]
    return lines


def _indented(text: str, spaces: int = 2) -> str:
    indent = " " * spaces
    return textwrap.fill(text, 96, initial_indent=indent, subsequent_indent=indent)
