"""Write the part of docs/command-line.md that lists every command, from the parser itself.

python -m lmrl.cli.reference
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from lmrl.cli import parser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"
OPENING, CLOSING = "<!-- commands -->\n", "<!-- end -->"


def commands(whole: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of every command that has no commands of its own, in order."""
    groups = [a for a in whole._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield whole
    for group in groups:
        for inner in group.choices.values():
            yield from commands(inner)


def section(command: argparse.ArgumentParser) -> str:
    """Return a command as Markdown: its description, arguments, options and examples."""
    rows = [
        f"| {_name(action)} | {_cell(action.help or '')} |"
        for action in command._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    table = ["| argument or option | meaning |", "|---|---|", *rows, ""] if rows else []
    examples = (command.epilog or "").partition("\n")[2].rstrip()
    lines = [f"## `{command.prog}`", "", command.description or "", "", *table]
    lines += [
        text
        for group in command._action_groups
        if group.title == "fields"
        for text in (str(group.description), "")
    ]
    shown = "\n".join(_command(line) for line in examples.splitlines())
    return "\n".join([*lines, "```sh", shown, "```", ""])


def _command(line: str) -> str:
    """Return an example as a line for a shell, with its remark as a comment."""
    return re.sub(r"(\S {3,})(?=\w)", r"\1# ", line.removeprefix("  "))


def _name(action: argparse.Action) -> str:
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices and not action.metavar:
        metavar = "|".join(str(choice) for choice in action.choices)
    value = str(metavar)
    if action.nargs == "+":
        value += " ..."
    if not action.option_strings:
        return _code(f"[{value}]" if action.nargs == "?" else value)
    name = " ".join([*action.option_strings, value]).strip()
    return _code(name) + (" (required)" if action.required else "")


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def updated(text: str) -> str:
    """Return the page with a new list of commands.

    Args:
        text: the page.
    """
    before, _, rest = text.partition(OPENING)
    after = rest.partition(CLOSING)[2]
    body = "\n".join(section(command) for command in commands(parser()))
    return f"{before}{OPENING}{body}{CLOSING}{after}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
