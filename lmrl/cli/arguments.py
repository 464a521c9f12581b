"""What several commands of `lmrl` share: the parser, common options, and checks of them."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from lmrl.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` instead of printing its usage and exiting."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Abbreviations would swallow fields of an experiment.
        super().__init__(*arguments, **{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the message and where to find help."""
        raise UsageError(f"{message}; see '{self.prog} --help'")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What `add_subparsers` returns: the set of commands that a command is added to."""

Run: TypeAlias = Callable[[argparse.Namespace], int]
"""A command: takes the parsed options and returns the exit code."""


def add_group(commands: Commands, name: str, text: str, example: str) -> Commands:
    """Add a command that consists of other commands, like `lmrl data`, and return their set.

    Args:
        commands: set of commands to add to.
        name: name of the group.
        text: description in one line.
        example: example call.
    """
    group = commands.add_parser(
        name,
        help=text,
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return group.add_subparsers(metavar="ACTION", required=True, parser_class=Parser)


def add_command(commands: Commands, name: str, text: str, example: str, run: Run) -> Parser:
    """Add a command and return its parser.

    Args:
        commands: set of commands to add to.
        name: name of the command.
        text: description in one line, without a full stop.
        example: example calls, one a line.
        run: function of the command.
    """
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run, takes_fields=False)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_task_options(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """Add the option `--options`, a JSON object of task options.

    Args:
        parser: parser to add to.
        settings: keyword arguments of `add_argument`: the default and the help text.
    """
    parser.add_argument("--options", type=json_object, **settings)


def add_oracle(parser: argparse.ArgumentParser) -> None:
    """Add the options for a model that answers for the task; `oracle_config` reads them."""
    parser.add_argument(
        "--oracle",
        metavar="MODEL",
        help="model that answers for the task instead of its scripted oracle or buyer: smollm2, a "
        "checkpoint directory, or a .gguf file",
    )
    parser.add_argument(
        "--oracle-endpoint",
        metavar="URL",
        help="address of a server with OpenAI's API; --oracle is the model's name there",
    )
    parser.add_argument(
        "--oracle-max-tokens",
        type=int,
        default=32,
        metavar="N",
        help="maximum tokens of an answer (32)",
    )


def oracle_config(options: argparse.Namespace) -> Any:
    """Return the `ChatConfig` of the model that answers for the task; None if none was given.

    Raises:
        UsageError: if an endpoint is given without a model.
    """
    if options.oracle is None:
        if options.oracle_endpoint:
            raise UsageError("--oracle-endpoint needs --oracle, the model's name there")
        return None
    from actors.chat.config import ChatConfig

    return ChatConfig(options.oracle, options.oracle_endpoint, max_tokens=options.oracle_max_tokens)


def json_object(text: str) -> dict[str, Any]:
    """Parse the value of an option that is a JSON object.

    Raises:
        argparse.ArgumentTypeError: for any other value; argparse adds the option's name.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"'{text}' is not a JSON object, like '{{\"last_k\": 7}}'")
    return value


def lasting(path: Path, option: str) -> Path:
    """Return a path that a command writes to, after a check that it outlives the command.

    Args:
        path: path that was given.
        option: name of the option that it was given with, for the message.

    Raises:
        UsageError: for a relative path within a Ray job, which runs in a copy of the working
            directory that Ray deletes.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not path.is_absolute():
        raise UsageError(
            f"{path} is relative, and this Ray job runs in a temporary copy of the working "
            f"directory; give {option} an absolute path on a file system that every node sees"
        )
    return path
