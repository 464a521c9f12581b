"""`lmrl completion`: a script that completes commands, options and names in a shell."""

import argparse

from lmrl.cli.arguments import Commands, add_command
from lmrl.errors import UsageError

EXAMPLE = """lmrl completion bash > ~/.local/share/bash-completion/completions/lmrl
  lmrl completion zsh > ~/.zfunc/_lmrl"""

SHELLS = ("bash", "zsh", "tcsh")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    completion = add_command(
        commands, "completion", "print the completion script of a shell", EXAMPLE, run
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ImportError as error:
        raise UsageError("completion needs the package shtab; run 'pip install shtab'") from error
    from lmrl.cli import parser

    print(shtab.complete(parser(with_names=True), shell=options.shell))
    return 0
