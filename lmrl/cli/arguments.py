"""What several commands of `lmrl` share: the parser, common options, and checks of them."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias

from lmrl.errors import UsageError, nearest, option
from lmrl.fields.typed import Mismatch, expected, read
from lmrl.limits import ANY, COUNT, NOT_NEGATIVE, Range

REWORDED = (
    (r"argument (.+): expected one argument", r"\1 needs a value"),
    (r"argument (.+): expected at least one argument", r"\1 needs one or more values"),
    (r"argument (.+): expected (\d+) arguments", r"\1 needs \2 values"),
    (r"argument (.+): ignored explicit argument (.+)", r"\1 takes no value, and \2 was given"),
    (r"argument (.+): not allowed with argument (.+)", r"\1 and \2 exclude each other; give one"),
    (r"the following arguments are required: (.+)", r"\1 is missing"),
    (r"one of the arguments (.+) is required", r"one of \1 is missing"),
    (r"argument (.+?): (.+)", r"\1 \2"),
)
"""Messages of `argparse`, and what this command line prints instead."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` instead of printing its usage and exiting.

    Attributes:
        fields: beginning of the names of fields that the command takes beside its options, like
            `options.` for `--options.words 100`; empty for any name, None for no fields.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Abbreviations would swallow fields of an experiment.
        super().__init__(*arguments, **{**options, "allow_abbrev": False})
        self.fields: str | None = None

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the message and where to find help."""
        for pattern, words in REWORDED:
            if re.fullmatch(pattern, message, re.DOTALL):
                message = re.sub(pattern, words, message, flags=re.DOTALL)
                break
        raise UsageError(f"{message}; see '{self.prog} --help'")

    # argparse declares overloads for namespaces of other classes, which nothing here uses.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; refuse one that is not an option of this command.

        The fields are in `fields_given`, as pairs of name and text.
        """
        given, fields = self._split(list(args or ()))
        if given and self._subparsers is not None:
            name = given[0].partition("=")[0]
            if name.startswith("-") and name not in self._option_string_actions:
                self._refuse(name)
        options, rest = super().parse_known_args(given, namespace)
        if rest:
            self._refuse(rest[0])
        if self.fields is not None:
            options.fields_given = fields
        return options, []

    def _split(self, given: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the arguments of this parser, and the fields: names with one value each."""
        own: list[str] = []
        fields = []
        rest = iter(given)
        for word in rest:
            name, equals, text = word.partition("=")
            if self.fields is None or not self._names_field(name):
                own.append(word)
                continue
            if not equals:
                text = next(rest, "--")
                if text.startswith("--"):
                    self.error(f"{name} needs a value")
            # Fields are written with hyphens, as options are; their own names have underscores.
            fields.append((name.removeprefix("--").replace("-", "_"), text))
        return own, fields

    def _names_field(self, name: str) -> bool:
        begins = name.startswith(f"--{self.fields}") and len(name) > 2
        return begins and name not in self._option_string_actions

    def _refuse(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"'{word}' is one argument too many")
        name = word.partition("=")[0]
        self.error(f"option {name} is unknown{nearest(name, self._option_string_actions)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not among the choices, with the nearest one."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            hint = nearest(str(value), names)
            raise argparse.ArgumentError(
                action, f"'{value}' is unknown{hint}; choices: {', '.join(names)}"
            )


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What `add_subparsers` returns: the set of commands that a command is added to."""

Run: TypeAlias = Callable[[argparse.Namespace], int]
"""A command: takes the parsed options and returns the exit code."""


def add_group(commands: Commands, name: str, text: str, example: str) -> Commands:
    """Add a command that consists of other commands, like `lmrl data`, and return their set.

    Args:
        commands: set of commands to add to.
        name: name of the group.
        text: description in one line, without a full stop.
        example: example calls, one a line.
    """
    group = commands.add_parser(
        name,
        help=text,
        description=_sentence(text),
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
        description=_sentence(text),
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def value(hint: Any, limit: Range = ANY) -> Callable[[str], Any]:
    """Return a converter for an option's text, which follows the rules of `lmrl.fields.typed`.

    Args:
        hint: type of the value.
        limit: range of a number.
    """

    def convert(text: str) -> Any:
        try:
            found = read(text, hint)
        except Mismatch:
            found = None
        if found is None or (isinstance(found, int | float) and not limit.holds(found)):
            remedy = f"give {expected(Annotated[hint, limit])}"
            raise argparse.ArgumentTypeError(f"is '{text}'; {remedy}")
        return found

    return convert


count = value(int, COUNT)
"""Converter of a number of things, 1 or more."""

index = value(int, NOT_NEGATIVE)
"""Converter of a number of things that may be 0."""

# Seeds are stored as 64-bit integers.
integer = value(int, Range(low=-(2**63), high=2**63 - 1))
"""Converter of the seed of an episode, any whole number."""

real = value(float, NOT_NEGATIVE)
"""Converter of a number that may have a fraction, 0 or more."""

json_object = value(dict)
"""Converter of a JSON object."""


def path(text: str) -> Path:
    """Convert the text of a path.

    Raises:
        argparse.ArgumentTypeError: if it is empty, has a null character, or is a URI.
    """
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"is {text!r}; give a path")
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"is {text}, which is a URI; give a path. A run works in a directory, and --mirror and "
            "'lmrl mirror' copy it to a URI"
        )
    return Path(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_task_options(parser: Parser, default: str = "") -> None:
    """Add `--options JSON` and `--options.NAME VALUE`; `task_options` reads them.

    Args:
        parser: parser to add to.
        default: description of the options that are used if none is given.
    """
    parser.add_argument(
        "--options",
        type=json_object,
        metavar="JSON",
        help="options of the task, as JSON; or each as --options.NAME VALUE"
        + (f" ({default})" if default else ""),
    )
    parser.fields = "options."


def task_options(options: argparse.Namespace, task: str) -> dict[str, Any]:
    """Return the options of a task that were given.

    Args:
        options: options of the command.
        task: name of the task.

    Raises:
        UsageError: if the task is unknown, does not have an option, or an option has another type.
    """
    from lmrl.tasks.options import read_options

    given = [(name.removeprefix("options."), text) for name, text in options.fields_given]
    return read_options(task, options.options or {}, given)


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
        type=count,
        metavar="N",
        help="maximum tokens of an answer (32)",
    )


def oracle_config(options: argparse.Namespace) -> Any:
    """Return the `ChatConfig` of the model that answers for the task; None if none was given.

    Raises:
        UsageError: if an endpoint or a number of tokens is given without a model.
    """
    if options.oracle is None:
        for name in ("endpoint", "max_tokens"):
            if getattr(options, f"oracle_{name}") is not None:
                given = option(f"oracle_{name}")
                raise UsageError(f"{given} needs --oracle, the model that answers")
        return None
    from actors.chat.config import ChatConfig

    return ChatConfig(
        options.oracle, options.oracle_endpoint, max_tokens=options.oracle_max_tokens or 32
    )


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
