"""`lmrl openenv`: a task as a server for clients of OpenEnv."""

import argparse
import sys

from lmrl.cli.arguments import Commands, add_command, add_task_options, count, task_options, value
from lmrl.limits import Range

EXAMPLE = """lmrl openenv maze-fo --port 8000
  lmrl openenv wordle --options.words 100 --sessions 64"""

PORT = value(int, Range(low=0, high=65535))
"""Converter of a port; 0 is a free one."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    openenv = add_command(commands, "openenv", "serve a task to clients of OpenEnv", EXAMPLE, run)
    openenv.add_argument("task", metavar="TASK", help="name of the task, or module:Class")
    openenv.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)"
    )
    openenv.add_argument(
        "--port", type=PORT, default=0, metavar="N", help="port to listen at (a free one)"
    )
    openenv.add_argument(
        "--sessions",
        type=count,
        default=256,
        metavar="N",
        help="clients at once, each with an episode of its own (256)",
    )
    add_task_options(openenv)


def run(options: argparse.Namespace) -> int:
    """Serve the task until Ctrl-C; its address is the first line of standard output."""
    from lmrl.errors import UsageError
    from lmrl.report.server import addresses, is_loopback, listening, run_server

    chosen = task_options(options, options.task)
    try:
        from lmrl.adapters.openenv import application
    except ImportError as error:
        raise UsageError(str(error)) from error
    served = application(options.task, chosen, options.sessions)
    opened = listening(options.host, options.port)
    if not is_loopback(options.host):
        print(
            f"warning: {options.host} may be reached from other machines, and the server has no "
            "password: everyone who reaches it can play",
            file=sys.stderr,
        )
    print(f"{addresses(opened, options.host)} (Ctrl-C ends it)", flush=True)
    run_server(served, opened)
    return 0
